# SPDX-License-Identifier: Apache-2.0
"""The lab's certificates: an authority with its files in a directory, and the certificates that it signs."""
import base64
import datetime
import ipaddress
import json
import os
import time

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAYS = 30


def replace(path, data, mode=0o600):
    """Replaces a file in one step, so that no reader sees half of it."""
    with open(os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as f:
        f.write(data)
    os.rename(path + ".new", path)


def private_pem(key):
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class SigningKey:
    """The key that signs the tokens of service accounts; .private and .public are the paths of its files."""

    def __init__(self, directory):
        self.key = new_key()
        self.private, self.public = (os.path.join(directory, n) for n in ("tokens.key", "tokens.pub"))
        replace(self.private, private_pem(self.key))
        replace(self.public, self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo), 0o644)

    def token(self, claims, seconds):
        """A JSON web token (RFC 7519, ES256) that is valid for `seconds` from now."""
        now = int(time.time())
        claims = {"iat": now - 3600, "nbf": now - 3600, "exp": now + seconds, **claims}
        text = ".".join(_base64url(json.dumps(part).encode()) for part in ({"alg": "ES256", "typ": "JWT"}, claims))
        r, s = decode_dss_signature(self.key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return text + "." + _base64url(r.to_bytes(32, "big") + s.to_bytes(32, "big"))


class Authority:
    """Signs certificates. Its own certificate is .certificate (PEM), in the file .path."""

    def __init__(self, directory, name="ca", common_name="lab"):
        self.directory = directory
        self.key = new_key()
        self.path = os.path.join(directory, name + ".crt")
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        certificate = (self._builder(subject, subject, self.key)
                       .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
                       .add_extension(x509.KeyUsage(True, False, False, False, False, True, True, False, False),
                                      critical=True)
                       .sign(self.key, hashes.SHA256()))
        self.subject = subject
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM)
        replace(self.path, self.certificate, 0o644)
        # The controller manager signs with this key too.
        self.key_path = os.path.join(directory, name + ".key")
        replace(self.key_path, private_pem(self.key))

    @staticmethod
    def _builder(subject, issuer, key, seconds=DAYS * 86400):
        now = datetime.datetime.utcnow()
        return (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer)
                .public_key(key.public_key()).serial_number(x509.random_serial_number())
                .not_valid_before(now - datetime.timedelta(minutes=5))
                .not_valid_after(now + datetime.timedelta(seconds=seconds))
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False))

    def issue(self, name, common_name, organizations=(), names=(), seconds=DAYS * 86400):
        """Writes name.crt and name.key and returns both paths. The certificate is always good for a client; with `names`
        (host names and addresses) it is good for a server too."""
        key = new_key()
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, o) for o in organizations] +
                            ([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []))
        usage = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if names else [])
        builder = (self._builder(subject, self.subject, key, seconds)
                   .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
                   .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
                   .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                                  critical=False))
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([self._name(n) for n in names]),
                                            critical=False)
        certificate = builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        paths = [os.path.join(self.directory, name + suffix) for suffix in (".crt", ".key")]
        replace(paths[1], private_pem(key))
        replace(paths[0], certificate, 0o644)
        return paths

    @staticmethod
    def _name(text):
        try:
            return x509.IPAddress(ipaddress.ip_address(text))
        except ValueError:
            return x509.DNSName(text)


def serial_number(pem):
    return x509.load_pem_x509_certificate(pem.encode() if isinstance(pem, str) else pem).serial_number
