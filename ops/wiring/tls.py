"""TLS towards servers that run elsewhere: their files looked at first, refusals put into words."""

import socket
import ssl

from idgen.errors import BadRequest
from ops.config_settings import Access


def client_context(section: str, access: Access) -> ssl.SSLContext:
    """What the files of a section make; raises BadRequest(`section.key`) for one that is no use.

    The vendors' clients would say nothing of it, or repeat their attempts until a time-out. As
    with those of ZooKeeper and Redis, the system's authorities are trusted besides.
    """
    context = ssl.create_default_context()
    if access.ca:
        try:
            context.load_verify_locations(access.ca)
        except OSError as error:
            raise _unusable(f"{section}.ca", access.ca, "certificates", error) from error
    if access.cert:
        try:
            context.load_cert_chain(access.cert, access.key)
        except OSError as error:
            files = f"{access.cert} with {section}.key {access.key}"
            raise _unusable(f"{section}.cert", files, "a certificate and its key", error) from error
    if not access.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _unusable(key: str, files: str, what: str, error: OSError) -> BadRequest:
    return BadRequest(key, f"{files} cannot be used ({error}): name a PEM file of {what}")


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
