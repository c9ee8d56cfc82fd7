"""Resource providers that run in the engine's process, behind the interface of ``pulumirpc.ResourceProvider``."""
