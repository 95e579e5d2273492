"""TLS towards servers that run elsewhere: why they refuse us, put into words."""

import socket
import ssl


def refusal(host: str, port: int, context: ssl.SSLContext, patience_s: float) -> str:
    """Why no TLS comes about with the server there; empty when it does, or nothing listens.

    A server that asks for a certificate in vain says so after the handshake (TLS 1.3), so its
    first word is waited for, `patience_s` at most: it has none to say if all is well.
    """
    try:
        with (
            socket.create_connection((host, port), patience_s) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            connection.settimeout(patience_s)
            connection.recv(1)
    except ssl.SSLError as error:
        return _explained(str(error))
    except OSError:
        return ""
    return ""


def _explained(error: str) -> str:
    """What OpenSSL said, and which of our settings to look at."""
    text = error.lower()
    if "verify failed" in text:
        return f"we do not trust its certificate ({error}); check ca"
    if "alert" in text:
        return f"it refuses our certificate, or wants one ({error}); check cert and key"
    return f"TLS with it fails ({error}); does this port speak TLS?"
