"""The story of the README, told by the real thing: a ledger upgraded under traffic, and three upgrades that must not happen.

story      the steps and what each must show
clients    a pod with constant traffic through the Service
stage      the stack, its database and what serves
report     the table and the JSON
"""
