"""Asking a service's admin port whether it is ready."""

import http.client
import json

TIMEOUT_S = 3.0


def not_ready_because(admin: str, timeout_s: float = TIMEOUT_S) -> str:
    """Why the service at `admin` ("host:port") is not ready; empty when it is.

    Raises OSError when nothing answers there.
    """
    host, _, port = admin.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout_s)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = response.read(64 * 1024)
    except http.client.HTTPException as error:
        raise OSError(f"{admin} does not speak HTTP: {error!r}") from error
    finally:
        connection.close()
    if response.status == http.client.OK:
        return ""
    try:
        checks = json.loads(body)["checks"]
        return "; ".join(f"{name}: {why}" for name, why in checks.items() if why != "ok")
    except (ValueError, KeyError, AttributeError):
        return f"HTTP status {response.status}"
