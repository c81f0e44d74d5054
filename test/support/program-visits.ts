import { deepEqual, equal } from 'node:assert/strict'
import makeFetchCookie from 'fetch-cookie'
import { CookieJar } from 'tough-cookie'

type Visited = Readonly<{ user?: string; visits?: number }>

/** A visitor with a browser's cookies, for the programs that the pages about frameworks show. */
class Visitor {
  readonly #jar: CookieJar
  readonly #fetch: typeof fetch

  constructor(jar = new CookieJar()) {
    this.#jar = jar
    this.#fetch = makeFetchCookie(fetch, jar) as unknown as typeof fetch
  }

  async me(url: string): Promise<Visited> {
    return (await this.#asked(`${url}/me`)) as Visited
  }

  async post(url: string, path: string, body: object = {}): Promise<unknown> {
    const headers = { 'content-type': 'application/json' }
    return await this.#asked(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
  }

  async copy(): Promise<Visitor> {
    return new Visitor(await this.#jar.clone())
  }

  async cookies(url: string): Promise<readonly string[]> {
    return (await this.#jar.getCookies(url)).map((cookie) => cookie.cookieString())
  }

  async #asked(url: string, init: RequestInit = {}): Promise<unknown> {
    const response = await this.#fetch(url, init)
    const text = await response.text()
    if (response.status !== 200) throw new Error(`${url} was answered with ${response.status}: ${text}`)
    return JSON.parse(text)
  }
}

/**
 * What every such program does, tried at two processes of it that share their tiers: `POST /login` and `/logout`, and
 * `GET /me`, which counts the visits. Rejects with the first thing that is not so.
 *
 * @param urls one process, and another one, which may be the same
 */
export const visitProgram = async ([one, other]: readonly [string, string]): Promise<void> => {
  const visitor = new Visitor()
  deepEqual(await visitor.me(one), { visits: 1 })
  const planted = await visitor.copy()

  await visitor.post(one, '/login', { user: 'ada' })
  deepEqual(await visitor.me(other), { visits: 2, user: 'ada' })
  deepEqual(await visitor.me(one), { visits: 3, user: 'ada' })
  deepEqual(await planted.me(one), { visits: 1 }, 'the id from before the login is logged in')

  const [cookie = ''] = await visitor.cookies(one)
  const forged = cookie.replace(/.$/, (letter) => (letter === 'A' ? 'B' : 'A'))
  const answer = await fetch(`${one}/me`, { headers: { cookie: forged } })
  deepEqual(await answer.json(), { visits: 1 }, 'a cookie that somebody has changed is believed')

  const before = await visitor.copy()
  await visitor.post(other, '/logout')
  equal((await visitor.cookies(one)).length, 0, 'the logout leaves its cookie')
  deepEqual(await before.me(one), { visits: 1 }, 'a session that was logged out is served')
}
