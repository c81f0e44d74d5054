import fetchCookie from 'fetch-cookie'
import { CookieJar } from 'tough-cookie'

/** What a visitor is answered. */
export interface Answered {
  readonly status: number
  /** What the body says by JSON, or its text. */
  readonly body: unknown
  readonly setCookie: readonly string[]
}

/** A browser as far as sessions need one: it keeps cookies as browsers do, and may have several tabs. */
export interface Visitor {
  readonly jar: CookieJar
  get(url: string): Promise<Answered>
  post(url: string): Promise<Answered>
  /** The value of a cookie as it would be sent; `undefined` where there is none. */
  cookie(url: string, name: string): Promise<string | undefined>
}

export const visitor = (jar: CookieJar = new CookieJar()): Visitor => {
  const fetchWithCookies = fetchCookie(fetch, jar)
  const ask =
    (method: string) =>
    async (url: string): Promise<Answered> => {
      const response = await fetchWithCookies(url, { method, redirect: 'manual' })
      const text = await response.text()
      return { status: response.status, body: parsed(text), setCookie: response.headers.getSetCookie() }
    }
  return {
    jar,
    get: ask('GET'),
    post: ask('POST'),
    cookie: async (url, name) => (await jar.getCookies(url)).find(({ key }) => key === name)?.value,
  }
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Another browser with the same cookies, of which each changes only its own copy. */
export const copyOf = async ({ jar }: Visitor): Promise<Visitor> => visitor(await jar.clone())
