import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import express, { type Response as ExpressResponse, type NextFunction, type Request } from 'express'
import { auth, type ConfigParams } from 'express-openid-connect'
import makeFetchCookie from 'fetch-cookie'
import { CookieJar } from 'tough-cookie'
import { expect, test } from 'vitest'
import type { NonstickStore } from '../../src/adapters/express.js'
import { CLIENT, type IdentityProvider, openIdentityProvider } from '../support/identity-provider.js'
import { type Cluster, gate, openCluster } from './express-cluster.js'

interface Application {
  readonly url: string
  readonly store: NonstickStore
  /** Lets requests to `/slow` wait once they have their session. */
  readonly place: ReturnType<typeof gate>
}

/** An application as the documentation of express-openid-connect has it. */
const openApplication = async (cluster: Cluster, { issuer }: IdentityProvider): Promise<Application> => {
  const app = express()
  const server = createServer(app)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const store = cluster.store()
  const place = gate()
  app.use(
    auth({
      issuerBaseURL: issuer,
      baseURL: url,
      clientID: CLIENT.id,
      clientSecret: CLIENT.secret,
      secret: 'a secret of a test, at least 32 characters long',
      authRequired: false,
      idpLogout: false,
      authorizationParams: { response_type: 'code', scope: 'openid' },
      session: { store: store as unknown as NonNullable<NonNullable<ConfigParams['session']>['store']> },
      backchannelLogout: true,
    }),
  )
  app.get('/', (req, res) => {
    res.json(req.oidc.user?.['sub'] ?? null)
  })
  app.get('/slow', async (req, res) => {
    await place.wait()
    res.json(req.oidc.user?.['sub'] ?? null)
  })
  app.use((error: unknown, _req: Request, res: ExpressResponse, _next: NextFunction) => {
    res.status(500).json(String(error))
  })
  cluster.closeAfterwards(async () => {
    server.closeAllConnections()
    server.close()
    await once(server, 'close')
  })
  return { url, store, place }
}

class Visitor {
  readonly #jar: CookieJar
  readonly #fetch: (url: string) => Promise<Response>

  constructor(jar = new CookieJar()) {
    this.#jar = jar
    this.#fetch = makeFetchCookie(fetch, jar)
  }

  async get(url: string): Promise<unknown> {
    const response = await this.#fetch(url)
    expect(response.status, url).toBe(200)
    return await response.json()
  }

  async statusOf(url: string): Promise<number> {
    return (await this.#fetch(url)).status
  }

  async copy(): Promise<Visitor> {
    return new Visitor(await this.#jar.clone())
  }
}

const opened = async (): Promise<
  AsyncDisposable & { provider: IdentityProvider; cluster: Cluster; one: Application; two: Application }
> => {
  const [provider, cluster] = [await openIdentityProvider(), openCluster()]
  const [one, two] = [await openApplication(cluster, provider), await openApplication(cluster, provider)]
  return {
    ...{ provider, cluster, one, two },
    [Symbol.asyncDispose]: async () => {
      await cluster[Symbol.asyncDispose]()
      await provider[Symbol.asyncDispose]()
    },
  }
}

test('a user who logs in is known to every process', async () => {
  await using place = await opened()
  const { provider, one, two } = place
  provider.subject = 'ann'
  const ann = new Visitor()
  expect(await ann.get(`${one.url}/login`)).toBe('ann')
  expect(await ann.get(two.url)).toBe('ann')
  expect(await new Visitor().get(one.url)).toBeNull()
})

test('a logout over the back channel ends his sessions in every process, each time he has logged in again', async () => {
  await using place = await opened()
  const { provider, cluster, one, two } = place
  const [ann, bob] = [new Visitor(), new Visitor()]
  provider.subject = 'bob'
  await bob.get(`${one.url}/login`)
  provider.subject = 'ann'
  for (let time = 0; time < 3; time += 1) {
    expect(await ann.get(`${one.url}/login`), `login ${time}`).toBe('ann')
    expect(await ann.get(two.url)).toBe('ann')
    expect(await provider.logOut('ann', two.url), `logout ${time}`).toBe(204)
    cluster.loseCache()
    for (const { url } of [one, two]) expect(await ann.get(url)).toBeNull()
    expect(await bob.get(one.url)).toBe('bob')
  }
})

test('a login leaves no tombstone of a mark that was never set', async () => {
  await using place = await opened()
  const { provider, cluster, one } = place
  provider.subject = 'ann'
  const before = cluster.backend.calls.filter((call) => call === 'destroy').length
  await new Visitor().get(`${one.url}/login`)
  expect(cluster.backend.calls.filter((call) => call === 'destroy')).toHaveLength(before)
})

test('a logout is not undone by a slow request, which ends normally', async () => {
  await using place = await opened()
  const { provider, cluster, one, two } = place
  one.store.on('dropped', () => {})
  provider.subject = 'ann'
  const ann = new Visitor()
  await ann.get(`${one.url}/login`)
  const slow = (await ann.copy()).get(`${one.url}/slow`)
  await one.place.reached
  const before = await ann.copy()
  expect(await ann.get(`${two.url}/logout`)).toBeNull()
  one.place.open()
  expect(await slow).toBe('ann')
  expect(await before.get(two.url)).toBeNull()
  cluster.loseCache()
  expect(await before.get(one.url)).toBeNull()
})

// A limit of express-openid-connect: an error of `get` is no session to it, and a cookie without a session is one to end.
test('a request while the store cannot be asked is an error, and logs its user out', async () => {
  await using place = await opened()
  const { provider, cluster, one } = place
  provider.subject = 'ann'
  const ann = new Visitor()
  await ann.get(`${one.url}/login`)
  cluster.cutOff(true)
  expect(await ann.statusOf(one.url)).toBe(500)
  expect(await provider.logOut('ann', one.url), 'the provider is told that it failed').toBe(400)
  cluster.cutOff(false)
  expect(await ann.get(one.url)).toBeNull()
})
