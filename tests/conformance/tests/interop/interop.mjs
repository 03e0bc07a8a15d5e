// jose and fast-jwt: each verifies our tokens by our JWKS, and signs tokens by keys of its own.
// Reads the task from stdin as JSON, and writes what each library did to stdout.

import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

// The libraries lie where they were installed, which is the first argument.
const require = createRequire(pathToFileURL(`${process.argv[2]}/`))
const jose = require('jose')
const fastJwt = require('fast-jwt')

const task = JSON.parse(readFileSync(0, 'utf8'))
const { claims } = task
const secret = Buffer.from(task.secret, 'base64url')
const header = (alg) => ({ alg, typ: 'session+jwt', kid: 'theirs' })
const named = (jwk, alg) => ({ ...jwk, kid: 'theirs', alg, use: 'sig' })
const isShared = (alg) => alg.startsWith('HS')

const joseLibrary = {
  async verify(alg, token, jwks) {
    const key = jwks ? jose.createLocalJWKSet(jwks) : secret
    const rules = { issuer: claims.iss, audience: claims.aud, typ: 'session+jwt', algorithms: [alg] }
    return (await jose.jwtVerify(token, key, rules)).payload
  },
  async sign(alg) {
    const pair = isShared(alg) ? null : await jose.generateKeyPair(alg, { extractable: true })
    const signer = new jose.SignJWT(claims).setProtectedHeader(header(alg))
    const token = await signer.sign(pair ? pair.privateKey : secret)
    return { token, jwk: pair ? named(await jose.exportJWK(pair.publicKey), alg) : null }
  },
}

const fastJwtLibrary = {
  async verify(alg, token, jwks) {
    const { kid } = jose.decodeProtectedHeader(token)
    const jwk = jwks?.keys.find((jwk) => jwk.kid === kid)
    const pem = jwk && createPublicKey({ key: jwk, format: 'jwk' }).export({ type: 'spki', format: 'pem' })
    const rules = { algorithms: [alg], allowedIss: claims.iss, allowedAud: claims.aud, checkTyp: 'session+jwt' }
    return fastJwt.createVerifier({ key: pem ?? secret, ...rules })(token)
  },
  async sign(alg) {
    const kinds = {
      ES256: ['ec', { namedCurve: 'P-256' }],
      ES384: ['ec', { namedCurve: 'P-384' }],
      EdDSA: ['ed25519', {}],
    }
    let key = secret
    let jwk = null
    if (!isShared(alg)) {
      const [kind, options] = kinds[alg] ?? ['rsa', { modulusLength: 2048 }]
      const pair = generateKeyPairSync(kind, options)
      key = createPrivateKey(pair.privateKey.export({ type: 'pkcs8', format: 'pem' }))
        .export({ type: 'pkcs8', format: 'pem' })
      jwk = named(pair.publicKey.export({ format: 'jwk' }), alg)
    }
    const { typ, kid } = header(alg)
    const sign = fastJwt.createSigner({ key, algorithm: alg, kid, header: { typ } })
    return { token: sign(claims), jwk }
  },
}

const attempt = async (work) => {
  try {
    return await work()
  } catch (error) {
    return { error: `${error.code ?? error.name}: ${error.message}` }
  }
}

const done = {}
for (const [name, library] of [['jose', joseLibrary], ['fast-jwt', fastJwtLibrary]]) {
  done[name] = {}
  for (const [alg, ours] of Object.entries(task.ours)) {
    done[name][alg] = {
      verified: await attempt(() => library.verify(alg, ours.token, ours.jwks)),
      forged: await attempt(() => library.verify(alg, ours.forged, ours.jwks)),
      signed: await attempt(() => library.sign(alg)),
    }
  }
}
console.log(JSON.stringify(done))
