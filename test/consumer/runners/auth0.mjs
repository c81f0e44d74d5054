// The store for @auth0/nextjs-auth0 with the real one: two processes' worth of clients over HTTP, and an Auth0 of this program's own.
import assert from 'node:assert/strict'
import { createSign, generateKeyPairSync, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { Auth0Client } from '@auth0/nextjs-auth0/server'
import { NextRequest, NextResponse } from 'next/server.js'
import { createSessionStore } from 'nonstick'
import { NonstickAuth0Store, userOfAuth0Session } from 'nonstick/auth0'
import { memoryBackend, memoryCache } from 'nonstick/memory'

const DOMAIN = 'tenant.example.com'
const ISSUER = `https://${DOMAIN}/`

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
const signed = (claims) => {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const text = `${part({ alg: 'RS256', kid: 'one', typ: claims.events === undefined ? 'JWT' : 'logout+jwt' })}.${part(claims)}`
  return `${text}.${createSign('RSA-SHA256').update(text).sign(privateKey).toString('base64url')}`
}
const now = () => Math.floor(Date.now() / 1000)

/** Who logs in next, and with which nonce the client expects to be told so. */
let next = { sub: '', sid: '', nonce: '' }
const answers = {
  '/.well-known/openid-configuration': () => ({
    issuer: ISSUER,
    authorization_endpoint: `${ISSUER}authorize`,
    token_endpoint: `${ISSUER}oauth/token`,
    jwks_uri: `${ISSUER}.well-known/jwks.json`,
    end_session_endpoint: `${ISSUER}oidc/logout`,
    backchannel_logout_supported: true,
    id_token_signing_alg_values_supported: ['RS256'],
  }),
  '/.well-known/jwks.json': () => ({
    keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'RS256', use: 'sig' }],
  }),
  '/oauth/token': () => ({
    access_token: randomUUID(),
    token_type: 'Bearer',
    expires_in: 3600,
    id_token: signed({ iss: ISSUER, aud: 'client', iat: now(), exp: now() + 3600, ...next }),
  }),
}
const listening = async (handler) => {
  const server = createServer(handler)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, url: `http://127.0.0.1:${server.address().port}` }
}
const provider = await listening((request, response) => {
  const answer = answers[new URL(request.url, ISSUER).pathname]
  response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' })
  response.end(JSON.stringify(answer?.() ?? {}))
})
const realFetch = globalThis.fetch
globalThis.fetch = (target, init) => {
  const url = new URL(target instanceof Request ? target.url : String(target))
  return url.origin === new URL(ISSUER).origin
    ? realFetch(new URL(url.pathname, provider.url), init)
    : realFetch(target, init)
}

const tiers = { cache: memoryCache(), backend: memoryBackend() }
const startProcess = async () => {
  const sessions = createSessionStore({ ...tiers, identify: userOfAuth0Session, purgeEveryMs: 0 })
  const auth0 = new Auth0Client({
    domain: DOMAIN,
    clientId: 'client',
    clientSecret: 'a secret of a test and of no use',
    secret: 'a secret of a test and of no use, and of 32 bytes',
    appBaseUrl: 'http://127.0.0.1',
    sessionStore: new NonstickAuth0Store({ sessions }),
  })
  let held
  const answer = async (request) => {
    const { pathname } = request.nextUrl
    if (pathname.startsWith('/auth/')) return await auth0.middleware(request)
    if (pathname === '/me') return NextResponse.json((await auth0.getSession(request)) ?? {})
    const session = await auth0.getSession(request)
    if (pathname === '/slow') await new Promise((resolve) => (held = resolve))
    const response = NextResponse.json({})
    await auth0.updateSession(request, response, { ...session, ...(await request.json()) })
    return response
  }
  const { server, url } = await listening(async (incoming, outgoing) => {
    const chunks = []
    for await (const chunk of incoming) chunks.push(chunk)
    const body = incoming.method === 'POST' ? { body: Buffer.concat(chunks) } : {}
    try {
      const request = new NextRequest(new URL(incoming.url, 'http://127.0.0.1'), {
        method: incoming.method,
        headers: incoming.headers,
        ...body,
      })
      const response = await answer(request)
      outgoing.writeHead(response.status, [...response.headers].flat())
      outgoing.end(Buffer.from(await response.arrayBuffer()))
    } catch (error) {
      outgoing.writeHead(500)
      outgoing.end(String(error))
    }
  })
  return {
    server,
    url,
    release: () => {
      held()
      held = undefined
    },
    isHeld: () => held !== undefined,
    sessions,
  }
}
const [one, other] = [await startProcess(), await startProcess()]

const visitor = () => {
  const cookies = new Map()
  const ask = async ({ url }, path, body) => {
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    const response = await realFetch(`${url}${path}`, {
      redirect: 'manual',
      headers: { ...(cookie === '' ? {} : { cookie }), 'content-type': 'application/json' },
      ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    })
    for (const set of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(set)
      if (value === '') cookies.delete(name)
      else cookies.set(name, value)
    }
    return response
  }
  return {
    ask,
    login: async (process, sub, sid) => {
      const { searchParams } = new URL((await ask(process, '/auth/login')).headers.get('location'))
      next = { sub, sid, nonce: searchParams.get('nonce') }
      const back = await ask(process, `/auth/callback?code=x&state=${searchParams.get('state')}`)
      assert.equal(back.status, 307, await back.text())
    },
    me: async (process) => (await ask(process, '/me')).json(),
  }
}

const [laptop, phone, stranger] = [visitor(), visitor(), visitor()]
await laptop.login(one, 'auth0|ada', 's1')
await phone.login(other, 'auth0|ada', 's2')
await stranger.login(one, 'auth0|grace', 's3')
assert.equal((await laptop.me(other)).user.sub, 'auth0|ada')
assert.equal((await one.sessions.list()).length, 3)

// What two requests change at once is all there.
const slow = laptop.ask(one, '/slow', { cart: ['tea'] })
while (!one.isHeld()) await new Promise((resolve) => setTimeout(resolve, 5))
assert.equal((await laptop.ask(other, '/change', { theme: 'dark' })).status, 200)
one.release()
assert.equal((await slow).status, 200)
const { cart, theme } = await laptop.me(other)
assert.deepEqual({ cart, theme }, { cart: ['tea'], theme: 'dark' })

// A rolling of the session by the middleware keeps it.
await laptop.ask(one, '/auth/profile')

// A logout at Auth0 of one session, and then of the user.
const logOut = async (claims) => {
  const events = { 'http://schemas.openid.net/event/backchannel-logout': {} }
  const token = signed({
    iss: ISSUER,
    aud: 'client',
    iat: now(),
    exp: now() + 120,
    jti: randomUUID(),
    events,
    ...claims,
  })
  return await realFetch(`${other.url}/auth/backchannel-logout`, {
    method: 'POST',
    body: new URLSearchParams({ logout_token: token }),
  })
}
const said = await logOut({ sub: 'auth0|ada', sid: 's1' })
assert.equal(said.status, 204, await said.text())
assert.deepEqual([(await laptop.me(one)).user, (await phone.me(one)).user?.sub], [undefined, 'auth0|ada'])
assert.equal((await logOut({ sub: 'auth0|ada' })).status, 204)
assert.deepEqual([(await phone.me(one)).user, (await stranger.me(other)).user?.sub], [undefined, 'auth0|grace'])

// A logout here, while a request is on its way with the session.
const late = stranger.ask(one, '/slow', { cart: ['tea'] })
while (!one.isHeld()) await new Promise((resolve) => setTimeout(resolve, 5))
await stranger.ask(other, '/auth/logout')
one.release()
await late
assert.equal((await stranger.me(other)).user, undefined)
assert.equal((await one.sessions.list()).length, 0)

for (const { server } of [one, other, provider]) {
  server.closeAllConnections()
  server.close()
}
for (const { sessions } of [one, other]) await sessions.close()
console.log('auth0 ok')
