"""What processes of this machine use, and what services of ours count, from outside of them."""

import os
import subprocess
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path

from ops.metrics import Metric

END_S_MAX = 10.0
MIB = 1 << 20
_METRICS_TIMEOUT_S = 10


def resident_mib(pid: int) -> int:
    """Memory of a process that is in use now (RSS), in MiB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // MIB


def peak_mib(pid: int) -> int:
    """The most that a process's RSS has been, in MiB (VmHWM of proc(5))."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) // 1024
    raise ValueError(f"process {pid} has no VmHWM: it is a zombie, or a kernel thread")


def processor_s(pid: int) -> float:
    """Processor time of a process and its threads, user and system, in seconds."""
    # The name in brackets may hold blanks; what follows are fields 3 and on of proc(5).
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def end(processes: "Sequence[subprocess.Popen[bytes]]") -> None:
    """End processes that we have started, by force those that do not in time, and their pipes."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def metric_sum(admin: str, metric: Metric) -> float:
    """A metric of the service with this admin port, summed over its labels."""
    with urllib.request.urlopen(f"http://{admin}/metrics", timeout=_METRICS_TIMEOUT_S) as answer:
        return sum_of(answer.read().decode().splitlines(), metric)


def sum_of(lines: Iterable[str], metric: Metric) -> float:
    """The sum of a metric's samples in Prometheus' text format."""
    # A name ends at its labels or at a blank: others may begin with it.
    ends = (f"{metric.name}{{", f"{metric.name} ")
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(ends))
