"""Issues tokens by PyJWT and by Authlib: `issue_tokens.py`. Prints one line of JSON: the keys, the tokens, a key set
before and after a rotation, and tokens that must not be accepted."""

import base64
import hashlib
import hmac
import json
import secrets
import time
import warnings

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

warnings.simplefilter("ignore")
from authlib.jose import JsonWebKey, JsonWebToken  # noqa: E402

NOW = int(time.time())
CLAIMS = {
    "iss": "https://idp.example",
    "aud": ["other", "api"],
    "sub": "alice",
    "iat": NOW,
    "exp": NOW + 3600,
    "scope": "read write",
    "realm_access": {"roles": ["a", "b"]},
}
FAMILIES = {
    "hmac": ["HS256", "HS384", "HS512"],
    "rsa": ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
    "p256": ["ES256"],
    "p384": ["ES384"],
    "ed25519": ["EdDSA"],
}


def part(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def private_pem(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def public_jwk(key, kid):
    return JsonWebKey.import_key(public_pem(key)).as_dict(kid=kid, use="sig")


def by_authlib(key, algorithm, kid):
    header = {"alg": algorithm, "kid": kid}
    material = key if isinstance(key, bytes) else private_pem(key)
    return JsonWebToken([algorithm]).encode(header, CLAIMS, material).decode()


def by_pyjwt(key, algorithm, kid, claims=CLAIMS):
    return jwt.encode(claims, key, algorithm, headers={"kid": kid})


def by_hand(header, claims, secret):
    signed = part(json.dumps(header).encode()) + "." + part(json.dumps(claims).encode())
    signature = hmac.new(secret, signed.encode(), hashlib.sha256).digest() if secret else b""
    return signed + "." + part(signature)


keys = {
    "hmac": secrets.token_bytes(64),
    "rsa": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate(),
}
issuers = {"PyJWT": by_pyjwt, "Authlib": by_authlib}
tokens = [
    {"by": issuer, "family": family, "algorithm": algorithm, "token": issue(keys[family], algorithm, family)}
    for family, algorithms in FAMILIES.items()
    for algorithm in algorithms
    for issuer, issue in issuers.items()
]
public = {family: public_pem(key) for family, key in keys.items() if family != "hmac"}
rotated = rsa.generate_private_key(65537, 2048)
good = by_pyjwt(keys["rsa"], "RS256", "rsa")
head, payload, signature = good.split(".")
mallory = part(json.dumps(CLAIMS | {"sub": "mallory"}).encode())
with_crit = {"alg": "HS256", "kid": "hmac", "crit": ["b64"], "b64": True}
attacks = {
    "none": by_hand({"alg": "none", "kid": "rsa"}, CLAIMS, None),
    "none with a signature": by_hand({"alg": "none", "kid": "hmac"}, CLAIMS, keys["hmac"]),
    "HMAC by the RSA key's PEM": by_hand({"alg": "HS256", "kid": "rsa"}, CLAIMS, public["rsa"].encode()),
    "HMAC by the RSA key's PEM, without a name": by_hand({"alg": "HS256"}, CLAIMS, public["rsa"].encode()),
    "HMAC by nothing": by_hand({"alg": "HS256", "kid": "hmac"}, CLAIMS, b"\0"),
    "another payload": f"{head}.{mallory}.{signature}",
    "without its signature": f"{head}.{payload}.",
    "another's key": by_pyjwt(rotated, "RS256", "rsa"),
    "another's key in the header": jwt.encode(CLAIMS, rotated, "RS256", headers={"jwk": public_jwk(rotated, "x")}),
    "expired": by_pyjwt(keys["rsa"], "RS256", "rsa", CLAIMS | {"exp": NOW - 3600}),
    "another audience": by_pyjwt(keys["rsa"], "RS256", "rsa", CLAIMS | {"aud": "web"}),
    "another issuer": by_pyjwt(keys["rsa"], "RS256", "rsa", CLAIMS | {"iss": "https://mallory.example"}),
    "critical extensions": by_hand(with_crit, CLAIMS, keys["hmac"]),
    "too large": by_pyjwt(keys["hmac"], "HS256", "hmac", CLAIMS | {"x": "x" * 16384}),
}
assert jwt.decode(good, public["rsa"], ["RS256"], audience="api")["sub"] == "alice"
print(
    json.dumps(
        {
            "secret": part(keys["hmac"]),
            "pem": public,
            "jwks": {"keys": [public_jwk(keys[family], family) for family in public]},
            "rotated_jwks": {"keys": [public_jwk(rotated, "new")]},
            "tokens": tokens,
            "rotated_token": by_authlib(rotated, "PS256", "new"),
            "attacks": attacks,
        }
    )
)
