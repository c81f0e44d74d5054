import type { View } from './history.js'
import { Outcome } from './words.js'

/** An answer with success. */
export interface Seen {
  /** The process that answered. */
  readonly app: string
  readonly view: View
}

/** The status of an answer that was none with success; 0 if the connection broke. */
export class Refused extends Outcome {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** Longer than the entry's, which tells which process did not answer. */
const DEADLINE_MS = 70_000

/** A browser, as far as sessions go: it keeps the cookies it is given and sends them with each request. */
export class Visitor {
  readonly #url: string
  readonly #cookies = new Map<string, string>()
  /** How often the server changed the session's cookie. */
  newCookies = 0

  constructor(url: string) {
    this.#url = url
  }

  login(user: string): Promise<Seen> {
    return this.#send('POST', '/api/login', { user })
  }

  look(): Promise<Seen> {
    return this.#send('GET', '/api/session')
  }

  add(list: string, token: string): Promise<Seen> {
    return this.#send('POST', '/api/items', { list, token })
  }

  /** Rejects with `Refused`. */
  async #send(method: string, path: string, body?: unknown): Promise<Seen> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    let response: Response
    let text: string
    try {
      response = await fetch(this.#url + path, {
        method,
        headers: {
          ...(cookie === '' ? {} : { Cookie: cookie }),
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(DEADLINE_MS),
      })
      text = await response.text()
    } catch (error) {
      throw new Refused(0, error instanceof Error ? error.message : String(error))
    }
    this.#keep(response.headers.getSetCookie())
    if (!response.ok) throw new Refused(response.status, reasonIn(text))
    const { process: app, session } = JSON.parse(text) as {
      readonly process: string
      readonly session: { readonly user: string; readonly lists: Record<string, string[]> } | null
    }
    return { app, view: { user: session?.user, lists: session?.lists ?? {} } }
  }

  #keep(setCookies: readonly string[]): void {
    for (const line of setCookies) {
      const [pair = ''] = line.split(';')
      const name = pair.slice(0, pair.indexOf('=')).trim()
      const value = pair.slice(pair.indexOf('=') + 1).trim()
      if (this.#cookies.get(name) !== value) this.newCookies++
      this.#cookies.set(name, value)
    }
  }
}

/** The `error` of a JSON answer, without the process that gave it, so that equal ones can be counted together. */
const reasonIn = (text: string): string => {
  try {
    const { error } = JSON.parse(text) as { readonly error?: unknown }
    if (typeof error === 'string') return error
  } catch {
    // No JSON: shown as it is.
  }
  return text.slice(0, 200)
}
