import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { lastLines, removeFolder, type StartedProcess, startProcess, waitUntil } from './process.js'

export interface CouchdbOptions {
  /** Where stdout and stderr go. By default into the server's folder, which vanishes with it. */
  readonly logFile?: string
  /** An administrator; without one everybody is. */
  readonly admin?: { readonly name: string; readonly password: string }
}

/** A stand-in for CouchDB on loopback that this program started. What it holds is lost with its process. */
export interface CouchdbServer {
  readonly kind: 'couchdb'
  /** `http://127.0.0.1:port` */
  readonly url: string
  readonly port: number
  /** Of the running process; the last known one while it is down. */
  readonly pid: number
  readonly logFile: string
  /** Ends it without a goodbye; resolves when it is gone. */
  kill9(): Promise<void>
  /** Ends it and removes its folder; resolves when it is gone. May be called twice, and after `kill9`. */
  stop(): Promise<void>
  /** Ends it if it runs and starts it, empty, at the same address. */
  restart(): Promise<void>
  /** Freezes it: connections are accepted by the kernel and never answered. */
  pause(): void
  resume(): void
}

const PROGRAM = fileURLToPath(new URL('couchdb-stand-in.mjs', import.meta.url))

/** Resolves when it answers. Rejects with the end of its log if it does not come up. */
export const startCouchdb = async ({ logFile: given, admin }: CouchdbOptions = {}): Promise<CouchdbServer> => {
  const folder = mkdtempSync(join(tmpdir(), 'nonstick-couchdb-'))
  const logFile = given ?? join(folder, 'couchdb.log')
  const portFile = join(folder, 'port')
  let port = 0
  let current: StartedProcess

  const start = async (): Promise<void> => {
    rmSync(portFile, { force: true })
    const who = admin === undefined ? [] : [admin.name, admin.password]
    const args = [PROGRAM, portFile, String(port), ...who]
    const started = await startProcess({ command: process.execPath, args, folder, logFile, endSignal: 'SIGTERM' })
    const complaint = (): string => `the stand-in for CouchDB did not come up:\n${lastLines(logFile)}`
    try {
      await waitUntil(
        async () => {
          if (started.isGone()) throw new Error(complaint())
          if (!existsSync(portFile)) return false
          port = Number(readFileSync(portFile, 'utf8'))
          return await fetch(`http://127.0.0.1:${port}/`).then(
            (response) => response.status < 500,
            () => false,
          )
        },
        15_000,
        complaint,
      )
    } catch (error) {
      await started.end('SIGKILL')
      throw error
    }
    current = started
  }

  try {
    chmodSync(folder, 0o700)
    await start()
  } catch (error) {
    await removeFolder(folder)
    throw error
  }

  return {
    kind: 'couchdb',
    get url() {
      return `http://127.0.0.1:${port}`
    },
    get port() {
      return port
    },
    get pid() {
      return current.pid
    },
    logFile,
    // It has nothing to save.
    kill9: () => current.end('SIGKILL'),
    stop: async () => {
      await current.end('SIGKILL')
      await removeFolder(folder)
    },
    restart: async () => {
      await current.end('SIGKILL')
      await start()
    },
    pause: () => current.signal('SIGSTOP'),
    resume: () => current.signal('SIGCONT'),
  }
}

/** The server that COUCHDB_URL names, its password included, or `undefined`. */
export const couchdbUrl = (): string | undefined => process.env['COUCHDB_URL'] || undefined

/** What a server says of itself. */
export interface Welcome {
  readonly version: string
  /** It is the stand-in and no CouchDB. */
  readonly isStandIn: boolean
}

/** One question to the server at a URL, with the name and password in it. */
export const couchdbAnswer = async (
  url: string,
  path: string,
): Promise<{ readonly status: number; readonly body: unknown }> => {
  const { origin, pathname, username, password } = new URL(url)
  const who = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  const headers = username === '' ? {} : { authorization: `Basic ${Buffer.from(who).toString('base64')}` }
  const signal = AbortSignal.timeout(10_000)
  const response = await fetch(`${origin}${pathname.replace(/\/+$/, '')}/${path}`, { headers, signal })
  return { status: response.status, body: await response.json().catch(() => undefined) }
}

/** Asks the server at a URL who it is. Rejects if neither a CouchDB answers nor its stand-in. */
export const welcomeOf = async (url: string): Promise<Welcome> => {
  const { status, body } = await couchdbAnswer(url, '').catch((cause: unknown) => {
    throw new Error(`There is no answer from ${new URL(url).host}`, { cause })
  })
  const fields = (typeof body === 'object' && body !== null ? body : {}) as Readonly<Record<string, unknown>>
  const { version } = fields
  const isStandIn = 'express-pouchdb' in fields
  if (typeof version !== 'string' || !(isStandIn || fields['couchdb'] === 'Welcome'))
    throw new Error(`Expected a CouchDB at ${new URL(url).host}; what answers there (HTTP ${status}) is none`)
  return { version, isStandIn }
}

/** Databases of one's own on a server that is somebody else's. */
export interface OwnDatabases {
  /** For the option `database`: months behind a prefix that nobody else has. */
  readonly pattern: string
  /** Removes them all. They are removed as well if this program ends without a word. May be called twice. */
  end(): Promise<void>
}

/** How names begin that nobody but our own programs gives to a database. */
export const OWN_PREFIXES = ['nonstick_chaos_', 'nonstick_demo_', 'test_'] as const

/** @param prefix how their names begin, before what makes them our own */
export const ownDatabases = (url: string, prefix: (typeof OWN_PREFIXES)[number]): OwnDatabases => {
  const name = `${prefix}${randomBytes(6).toString('hex')}`
  const program = fileURLToPath(new URL('couchdb-guard.mjs', import.meta.url))
  const guard = spawn(process.execPath, [program, `${name}-`], {
    // By the environment, which others cannot read, and not by the command line.
    env: { ...process.env, NONSTICK_GUARDED_URL: url },
    detached: true,
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  guard.unref()
  guard.stdin.on('error', () => {})
  // As in `process.ts`: it must not keep us alive.
  ;(guard.stdin as unknown as { unref(): void }).unref()
  const gone = once(guard, 'exit').then(([code]) => code === 0)
  return {
    pattern: `${name}-{yyyy}-{mm}`,
    end: async () => {
      guard.ref()
      guard.stdin.end()
      if (!(await gone)) throw new Error(`The databases ${name}-… of this run stay on the server: remove them by hand`)
    },
  }
}
