"""What can go wrong when real servers are started, each as one sentence that says what to do."""


class StackError(Exception):
    """A server of the stack cannot be had or cannot run; the message is meant for an operator."""


class JavaMissing(StackError):
    """No Java runtime was found."""


class JavaUnsuitable(StackError):
    """Java is there, but not of a version that HBase's Hadoop client runs on (17 to 23)."""


class MavenMissing(StackError):
    """Jars must be fetched and there is no ``mvn`` to fetch them with."""


class JarsUnavailable(StackError):
    """Maven ran and failed, or left an incomplete set of jars."""


class RedisMissing(StackError):
    """Neither a Redis nor a Valkey server binary was found."""


class PortInUse(StackError):
    """A configured port is taken by somebody else."""


class DiskFull(StackError):
    """The disk has no room for the servers' files, or ran full while they were written."""


class ChildFailed(StackError):
    """A child process ended, or was not ready in time; carries the last lines of its log."""


class FolderInUse(StackError):
    """Another supervisor already runs children in this folder."""
