"""Issues the tokens of these cases by PyJWT, with keys that the RFCs publish: `python3 issue.py` prints them by name.

The clock of the cases stands at 2026-01-01T00:00:00Z. ECDSA and PSS draw randomness, so their tokens are other ones
each time; all are good for the same cases.
"""

import base64
import json

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

NOW = 1_767_225_600


def octets(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(text):
    return int.from_bytes(octets(text), "big")


SECRET = octets("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")  # RFC 7515, A.1
N = number(
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZ"
    "S-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2"
    "R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcD"
    "TW9gb54h4FRWyuXpoQ"
)
P = number(
    "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2"
    "KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc"
)
Q = N // P
D = pow(65537, -1, (P - 1) * (Q - 1))
RSA = rsa.RSAPrivateNumbers(
    P, Q, D, D % (P - 1), D % (Q - 1), pow(Q, -1, P), rsa.RSAPublicNumbers(65537, N)
).private_key()  # RFC 7515, A.2
P256 = ec.derive_private_key(number("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"), ec.SECP256R1())  # RFC 7515, A.3
P384 = ec.derive_private_key(
    0x6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D896D5724E4C70A825F872C9EA60D2EDF5, ec.SECP384R1()
)  # RFC 6979, A.2.6
ED25519 = ed25519.Ed25519PrivateKey.from_private_bytes(
    octets("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
)  # RFC 8037, A.1

GOOD = {
    "iss": "https://idp.example",
    "aud": "api",
    "sub": "alice",
    "iat": NOW - 10,
    "exp": NOW + 300,
    "scope": "read write",
    "realm_access": {"roles": ["a", "b"]},
}


def issue(key, algorithm, claims=None, **header):
    return jwt.encode(GOOD | (claims or {}), key, algorithm, headers=header)


def without(name):
    return jwt.encode({key: value for key, value in GOOD.items() if key != name}, SECRET, "HS256")


def by_hand(header, claims, signature=b""):
    """What no library issues."""
    import hashlib
    import hmac

    def part(data):
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    signed = part(header.encode()) + "." + part(claims.encode())
    if signature is None:
        signature = hmac.new(SECRET, signed.encode(), hashlib.sha256).digest()
    return signed + "." + part(signature)


TOKENS = {
    **{name.lower(): issue(SECRET, name) for name in ("HS256", "HS384", "HS512")},
    **{name.lower(): issue(RSA, name) for name in ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")},
    "es256": issue(P256, "ES256"),
    "es384": issue(P384, "ES384"),
    "eddsa": issue(ED25519, "EdDSA"),
    "eddsa_kid_a": issue(ED25519, "EdDSA", kid="a"),
    "eddsa_kid_b": issue(ED25519, "EdDSA", kid="b"),
    "es256_kid_a": issue(P256, "ES256", kid="a"),
    "expired": issue(SECRET, "HS256", {"exp": NOW - 60}),
    "just_expired": issue(SECRET, "HS256", {"exp": NOW - 59}),
    "not_yet": issue(SECRET, "HS256", {"nbf": NOW + 61}),
    "issued_later": issue(SECRET, "HS256", {"iat": NOW + 61}),
    "old": issue(SECRET, "HS256", {"iat": NOW - 3_660}),
    "no_exp": without("exp"),
    "no_iat": without("iat"),
    "no_sub": without("sub"),
    "no_aud": without("aud"),
    "no_iss": without("iss"),
    "audiences": issue(SECRET, "HS256", {"aud": ["x", "api"]}),
    "other_audience": issue(SECRET, "HS256", {"aud": "other"}),
    "other_issuer": issue(SECRET, "HS256", {"iss": "https://other.example"}),
    "only_read": issue(SECRET, "HS256", {"scope": "read"}),
    "access_token": issue(SECRET, "HS256", typ="at+jwt"),
    "odd_claims": issue(SECRET, "HS256", {"sub": "a\r\nx-admin: 1", "realm_access": {"roles": ["a,admin"]}}),
    "kid_k1": issue(SECRET, "HS256", kid="k1"),
    "kid_k2": issue(SECRET, "HS256", kid="k2"),
    "none": by_hand('{"alg":"none"}', json.dumps(GOOD)),
    "crit": by_hand('{"alg":"HS256","crit":["exp"]}', json.dumps(GOOD), None),
    "twice": by_hand('{"alg":"HS256"}', '{"exp":%d,"sub":"bob","sub":"alice"}' % (NOW + 300), None),
}

if __name__ == "__main__":
    for name, token in TOKENS.items():
        print(f"{name}: {token}")
