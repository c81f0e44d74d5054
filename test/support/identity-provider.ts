import { createSign, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import express from 'express'
import { systemRuntime } from '../../src/runtime.js'

export const CLIENT = { id: 'a-client', secret: 'of a test, and of no use' } as const

export interface IdentityProvider extends AsyncDisposable {
  readonly issuer: string
  /** Who logs in next. */
  subject: string
  /** Ends the subject's sessions, as the provider would tell the application: the status of its answer. */
  logOut(subject: string, application: string): Promise<number>
}

const DAY_S = 86_400

/**
 * As much of an OpenID provider as an application needs that is given a code and asks for the tokens itself. Nobody is
 * asked for a password: whoever is sent here is `subject`.
 */
export const openIdentityProvider = async (): Promise<IdentityProvider> => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const app = express()
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const provider = { subject: 'nobody' }
  const codes = new Map<string, { readonly subject: string; readonly nonce: unknown }>()

  const token = (claims: object): string => {
    const now = Math.floor(systemRuntime.now() / 1_000)
    return signed(privateKey, { iss: issuer, aud: CLIENT.id, iat: now, exp: now + DAY_S, ...claims })
  }

  app.get('/.well-known/openid-configuration', (_req, res) => {
    res.json({
      issuer,
      authorization_endpoint: `${issuer}/authorize`,
      token_endpoint: `${issuer}/token`,
      jwks_uri: `${issuer}/keys`,
      response_types_supported: ['code'],
      response_modes_supported: ['query'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256'],
    })
  })
  app.get('/keys', (_req, res) => {
    res.json({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'one', use: 'sig', alg: 'RS256' }] })
  })
  app.get('/authorize', (req, res) => {
    const code = `code-${codes.size}`
    codes.set(code, { subject: provider.subject, nonce: req.query['nonce'] })
    const back = new URL(String(req.query['redirect_uri']))
    back.searchParams.set('code', code)
    back.searchParams.set('state', String(req.query['state']))
    res.redirect(back.href)
  })
  app.post('/token', express.urlencoded({ extended: false }), (req, res) => {
    const { subject, nonce } = codes.get(String((req.body as { readonly code?: unknown }).code)) ?? {}
    const id_token = token({ sub: subject, sid: `session of ${subject}`, nonce })
    res.json({ access_token: 'of no use', token_type: 'Bearer', expires_in: DAY_S, id_token })
  })

  return Object.assign(provider, {
    issuer,
    logOut: async (subject: string, application: string) => {
      const events = { 'http://schemas.openid.net/event/backchannel-logout': {} }
      const logout_token = token({ sub: subject, sid: `session of ${subject}`, jti: `logout of ${subject}`, events })
      const body = new URLSearchParams({ logout_token })
      return (await fetch(`${application}/backchannel-logout`, { method: 'POST', body })).status
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  })
}

const signed = (key: KeyObject, claims: object): string => {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = `${part({ alg: 'RS256', kid: 'one', typ: 'JWT' })}.${part(claims)}`
  return `${text}.${createSign('RSA-SHA256').update(text).sign(key).toString('base64url')}`
}
