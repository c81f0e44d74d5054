import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { CloseReport } from '../../src/contract/index.js'
import type { OldPlace } from './old-stores.js'

/** What a process of the application is told at its start. */
export interface Instructions {
  readonly secret: string
  readonly old: OldPlace
  /** Where the new store keeps the sessions; absent for a process of the old version. */
  readonly fresh?: { readonly cacheAddress: string; readonly connectionString: string; readonly schema: string }
}

/** What a page of the application shows of a session. */
export interface Report {
  readonly user?: string | undefined
  readonly notes: readonly string[]
}

export interface AppProcess {
  readonly url: string
  /** Ends it once it has answered what was begun. Resolves to what the new store tells at its end. */
  end(): Promise<(CloseReport & { readonly adopted: number }) | undefined>
  kill(): void
}

const program = fileURLToPath(new URL('app-process.ts', import.meta.url))
const root = fileURLToPath(new URL('../..', import.meta.url))

interface Told {
  readonly port: number
  readonly stats: (CloseReport & { readonly adopted: number }) | undefined
}

export const startApp = async (instructions: Instructions): Promise<AppProcess> => {
  const child = fork(program, [JSON.stringify(instructions)], { cwd: root, execArgv: ['--import', 'tsx'] })
  const { port } = await told(child)
  return {
    url: `http://127.0.0.1:${port}`,
    end: async () => {
      const last = told(child)
      child.send('end')
      return (await last).stats
    },
    kill: () => child.kill('SIGKILL'),
  }
}

const told = (child: ChildProcess): Promise<Told> =>
  new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as Told))
    child.once('exit', (code, signal) => reject(new Error(`an app process ended: ${code ?? signal}`)))
  })

/** A visitor's requests, one after the other, with a cookie. */
export class Visitor {
  readonly user: string
  /** The notes that the application has acknowledged since the last login. */
  #notes: string[] = []
  #cookie: string | undefined
  #last = 0

  constructor(user: string) {
    this.user = user
  }

  get notes(): number {
    return this.#notes.length
  }

  async ask(url: string, path: string): Promise<Report> {
    const headers = this.#cookie === undefined ? {} : { cookie: this.#cookie }
    const response = await fetch(`${url}${path}`, { headers: { ...headers, connection: 'close' } })
    const body = await response.text()
    if (response.status !== 200) throw new Error(`${path} was answered with ${response.status}: ${body.slice(0, 200)}`)
    const set = response.headers.getSetCookie()[0]
    if (set !== undefined) this.#cookie = set.split(';')[0]
    return JSON.parse(body) as Report
  }

  async login(url: string): Promise<void> {
    this.#notes = []
    await this.ask(url, `/login?user=${this.user}`)
  }

  /** Stores one more note. Resolves to what is wrong with the session, if anything is. */
  async note(url: string): Promise<string | undefined> {
    this.#last += 1
    const note = String(this.#last)
    const wrong = this.#wrongIn(await this.ask(url, `/note?note=${note}`))
    this.#notes.push(`note ${note}`)
    return wrong
  }

  async look(url: string): Promise<string | undefined> {
    return this.#wrongIn(await this.ask(url, '/'))
  }

  /** Logs out, and gives the cookie that the visitor had until then. */
  async logout(url: string): Promise<string> {
    const cookie = this.#cookie ?? ''
    await this.ask(url, '/logout')
    this.#notes = []
    return cookie
  }

  #wrongIn({ user, notes }: Report): string | undefined {
    if (user !== this.user) return `${this.user} is ${user === undefined ? 'logged out' : `taken for ${user}`}`
    const lost = this.#notes.filter((note) => !notes.includes(note))
    return lost.length === 0 ? undefined : `${this.user} has lost ${lost.length} changes`
  }
}

/** Whose session a cookie lets somebody into; `undefined` for nobody's. */
export const userBehind = async (url: string, cookie: string): Promise<string | undefined> => {
  const response = await fetch(`${url}/`, { headers: { cookie, connection: 'close' } })
  if (response.status !== 200) throw new Error(`a look was answered with ${response.status}`)
  return ((await response.json()) as Report).user
}
