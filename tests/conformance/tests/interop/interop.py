"""PyJWT, joserfc, jwcrypto and Authlib: each verifies our tokens by our JWKS, and signs tokens by keys of its own.

Reads the task from stdin as JSON, and writes what each library did to stdout.
"""

import base64
import json
import sys

import jwt as pyjwt
from authlib.jose import JsonWebKey as AuthlibKey
from authlib.jose import JsonWebToken as AuthlibToken
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc import jwk as joserfc_jwk
from joserfc import jwt as joserfc_jwt
from jwcrypto import jwk as jwcrypto_jwk
from jwcrypto import jwt as jwcrypto_jwt

CURVES = {"ES256": "P-256", "ES384": "P-384"}
task = json.load(sys.stdin)
claims = task["claims"]


def header(algorithm):
    return {"alg": algorithm, "typ": "session+jwt", "kid": "theirs"}


def named(jwk, algorithm):
    return {**jwk, "kid": "theirs", "alg": algorithm, "use": "sig"}


class PyJwt:
    @staticmethod
    def verify(algorithm, token, jwks, secret):
        key = secret
        if jwks:
            kid = pyjwt.get_unverified_header(token)["kid"]
            key = pyjwt.PyJWKSet.from_dict(jwks)[kid]
        return pyjwt.decode(
            token, key, algorithms=[algorithm], audience=claims["aud"], issuer=claims["iss"]
        )

    @staticmethod
    def sign(algorithm, secret):
        if algorithm.startswith("HS"):
            key, public = secret, None
        elif algorithm in CURVES:
            curve = ec.SECP256R1() if algorithm == "ES256" else ec.SECP384R1()
            key = ec.generate_private_key(curve)
        elif algorithm == "EdDSA":
            key = ed25519.Ed25519PrivateKey.generate()
        else:
            key = rsa.generate_private_key(65537, 2048)
        if key is not secret:
            known = pyjwt.get_algorithm_by_name(algorithm)
            public = named(known.to_jwk(key.public_key(), as_dict=True), algorithm)
        return pyjwt.encode(claims, key, algorithm, headers=header(algorithm)), public


class Joserfc:
    @staticmethod
    def verify(algorithm, token, jwks, secret):
        if jwks:
            key = joserfc_jwk.KeySet.import_key_set(jwks)
        else:
            key = joserfc_jwk.OctKey.import_key(secret)
        read = joserfc_jwt.decode(token, key, algorithms=[algorithm]).claims
        rules = joserfc_jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": claims["iss"]},
            aud={"essential": True, "value": claims["aud"]},
            exp={"essential": True},
        )
        rules.validate(read)
        return read

    @staticmethod
    def sign(algorithm, secret):
        if algorithm.startswith("HS"):
            key = joserfc_jwk.OctKey.import_key(secret)
        elif algorithm in CURVES:
            key = joserfc_jwk.ECKey.generate_key(CURVES[algorithm])
        elif algorithm in ("EdDSA", "Ed25519"):
            key = joserfc_jwk.OKPKey.generate_key("Ed25519")
        else:
            key = joserfc_jwk.RSAKey.generate_key(2048)
        token = joserfc_jwt.encode(header(algorithm), claims, key, algorithms=[algorithm])
        if algorithm.startswith("HS"):
            return token, None
        return token, named(key.as_dict(private=False), algorithm)


class Jwcrypto:
    @staticmethod
    def verify(algorithm, token, jwks, secret):
        if jwks:
            kid = pyjwt.get_unverified_header(token)["kid"]
            key = jwcrypto_jwk.JWKSet.from_json(json.dumps(jwks)).get_key(kid)
        else:
            text = base64.urlsafe_b64encode(secret).decode().rstrip("=")
            key = jwcrypto_jwk.JWK(kty="oct", k=text)
        rules = {"iss": claims["iss"], "aud": claims["aud"], "exp": None}
        read = jwcrypto_jwt.JWT(key=key, jwt=token, algs=[algorithm], check_claims=rules)
        return json.loads(read.claims)

    @staticmethod
    def sign(algorithm, secret):
        if algorithm.startswith("HS"):
            text = base64.urlsafe_b64encode(secret).decode().rstrip("=")
            key = jwcrypto_jwk.JWK(kty="oct", k=text)
        elif algorithm in CURVES:
            key = jwcrypto_jwk.JWK.generate(kty="EC", crv=CURVES[algorithm])
        elif algorithm in ("EdDSA", "Ed25519"):
            key = jwcrypto_jwk.JWK.generate(kty="OKP", crv="Ed25519")
        else:
            key = jwcrypto_jwk.JWK.generate(kty="RSA", size=2048)
        token = jwcrypto_jwt.JWT(header=header(algorithm), claims=claims)
        token.make_signed_token(key)
        if algorithm.startswith("HS"):
            return token.serialize(), None
        return token.serialize(), named(key.export_public(as_dict=True), algorithm)


class Authlib:
    @staticmethod
    def verify(algorithm, token, jwks, secret):
        key = AuthlibKey.import_key_set(jwks) if jwks else secret
        rules = {
            "iss": {"essential": True, "value": claims["iss"]},
            "aud": {"essential": True, "value": claims["aud"]},
            "exp": {"essential": True},
        }
        read = AuthlibToken([algorithm]).decode(token, key, claims_options=rules)
        read.validate()
        return dict(read)

    @staticmethod
    def sign(algorithm, secret):
        if algorithm.startswith("HS"):
            token = AuthlibToken([algorithm]).encode(header(algorithm), claims, secret)
            return token.decode(), None
        if algorithm in CURVES:
            key = AuthlibKey.generate_key("EC", CURVES[algorithm], is_private=True)
        elif algorithm == "EdDSA":
            key = AuthlibKey.generate_key("OKP", "Ed25519", is_private=True)
        else:
            key = AuthlibKey.generate_key("RSA", 2048, is_private=True)
        token = AuthlibToken([algorithm]).encode(header(algorithm), claims, key)
        return token.decode(), named(key.as_dict(is_private=False), algorithm)


def attempt(work):
    try:
        return work()
    except Exception as error:  # Whatever a library throws is its verdict.
        return {"error": f"{type(error).__name__}: {error}"}


def run(library):
    done = {}
    for algorithm, ours in task["ours"].items():
        secret = base64.urlsafe_b64decode(task["secret"] + "==")
        verify = lambda token: library.verify(algorithm, token, ours["jwks"], secret)
        done[algorithm] = {
            "verified": attempt(lambda: verify(ours["token"])),
            "forged": attempt(lambda: verify(ours["forged"])),
            "signed": attempt(lambda: dict(zip(("token", "jwk"), library.sign(algorithm, secret)))),
        }
    return done


libraries = {"PyJWT": PyJwt, "joserfc": Joserfc, "jwcrypto": Jwcrypto, "Authlib": Authlib}
json.dump({name: run(library) for name, library in libraries.items()}, sys.stdout)
