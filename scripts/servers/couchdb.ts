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
