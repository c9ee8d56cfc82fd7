"""What the guards' client must survive: being used first by several threads at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Without prepare_types() 21 of 25 such processes died of a segmentation fault (lightkube 1.0.1, msgspec 0.22).
AT_ONCE = """
import sys, threading
from lightkube import KubeConfig
from components.cluster import prepare_types

prepare_types()
sys.setswitchinterval(1e-6)
config = {
    "clusters": [{"name": "a", "cluster": {"server": "x", "certificate-authority": "y"}}],
    "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
    "users": [{"name": "a", "user": {"client-certificate": "x", "exec": {"apiVersion": "a", "command": "b"}}}],
}
barrier = threading.Barrier(6)

def read():
    barrier.wait()
    KubeConfig.from_dict(config)

threads = [threading.Thread(target=read) for _ in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


@pytest.mark.slow
def test_a_kubeconfig_is_read_by_several_threads_at_once() -> None:
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
