import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect, type NetConnectOpts } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { findMemcached } from './find.js'
import { lastLines, removeFolder, type StartedProcess, startProcess, waitUntil } from './process.js'

export interface MemcachedOptions {
  /** A fixed port. By default the system chooses a free one. */
  readonly port?: number
  /** Listen on this unix socket instead of a port; `true` chooses a path in the server's own folder. */
  readonly unixSocket?: string | true
  /** Passed to memcached as they are, for instance `['-S']`. */
  readonly extraArgs?: readonly string[]
  /** Added to memcached's environment, for instance `{ SASL_CONF_PATH: … }`. */
  readonly env?: NodeJS.ProcessEnv
  /** Speaks TLS, with these files in PEM. */
  readonly tls?: MemcachedTlsFiles
  /** Memory for entries, in MiB. @default 64 */
  readonly memoryMb?: number
  /** Where stdout and stderr go. By default into the server's folder, which vanishes with it. */
  readonly logFile?: string
}

export interface MemcachedTlsFiles {
  readonly cert: string
  readonly key: string
  /** The authority of the certificates without which no client is let in. By default none is asked for. */
  readonly clientCa?: string
}

/** A real memcached on loopback that this program started. */
export interface MemcachedServer {
  readonly kind: 'memcached'
  /** `127.0.0.1:port`, or the path of the unix socket. */
  readonly address: string
  /** 0 for a unix socket. */
  readonly port: number
  /** Of the running process; the last known one while it is down. */
  readonly pid: number
  readonly logFile: string
  /** Ends it without a goodbye; resolves when it is gone. Its connections are reset by the kernel. */
  kill9(): Promise<void>
  /** Ends it and removes its folder; resolves when it is gone. May be called twice, and after `kill9`. */
  stop(): Promise<void>
  /** Ends it if it runs and starts it, empty, at the same address. */
  restart(): Promise<void>
  /** Freezes it: connections are accepted by the kernel and never answered. */
  pause(): void
  resume(): void
}

/**
 * Starts a memcached on 127.0.0.1 without UDP and resolves when it answers.
 * Rejects if no memcached is installed (see `ensureMemcached`), or with the end of its log if it does not come up.
 */
export const startMemcached = async (options: MemcachedOptions = {}): Promise<MemcachedServer> => {
  const found = findMemcached()
  if (found === undefined) throw new Error('no memcached on this machine (Debian: apt-get install memcached)')
  const command = found
  const folder = mkdtempSync(join(tmpdir(), 'nonstick-memcached-'))
  const logFile = options.logFile ?? join(folder, 'memcached.log')
  const portFile = join(folder, 'port')
  const socket = options.unixSocket === true ? join(folder, 'memcached.sock') : options.unixSocket
  // -1 lets memcached bind a port of the kernel's choice, so that nobody can take it between asking and binding.
  let port = socket === undefined ? (options.port ?? -1) : 0
  let current: StartedProcess

  const start = async (): Promise<void> => {
    const args = [
      ...(socket === undefined ? ['-l', '127.0.0.1', '-p', String(port)] : ['-s', socket, '-a', '700']),
      ...['-U', '0', '-m', String(options.memoryMb ?? 64), '-t', '2'],
      // memcached refuses to run as root unless told that this is meant.
      ...(process.getuid?.() === 0 ? ['-u', 'root'] : []),
      ...(options.tls === undefined ? [] : tlsArgs(options.tls)),
      ...(options.extraArgs ?? []),
    ]
    const started = await startProcess({
      command,
      args,
      env: { ...options.env, MEMCACHED_PORT_FILENAME: portFile },
      folder,
      logFile,
      endSignal: 'SIGTERM',
    })
    const complaint = (): string => `memcached did not come up:\n${lastLines(logFile)}`
    try {
      await waitUntil(
        async () => {
          if (started.isGone()) throw new Error(complaint())
          if (port === -1) port = readPort(portFile) ?? -1
          if (port === -1) return false
          const where = socket === undefined ? { host: '127.0.0.1', port } : { path: socket }
          return options.tls === undefined ? await answers(where, options) : await shakesHands(where)
        },
        10_000,
        complaint,
      )
    } catch (error) {
      await started.end('SIGKILL')
      throw error
    }
    // A stranger on the same fixed port would have answered for us; ours has given up by now.
    if (started.isGone()) throw new Error(complaint())
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
    kind: 'memcached',
    get address() {
      return socket ?? `127.0.0.1:${port}`
    },
    get port() {
      return port
    },
    get pid() {
      return current.pid
    },
    logFile,
    kill9: () => current.end('SIGKILL'),
    // Always SIGKILL: memcached has nothing to save, and takes up to a second to obey SIGTERM.
    stop: async () => {
      await current.end('SIGKILL')
      if (socket !== undefined) rmSync(socket, { force: true })
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

/** The servers named by MEMCACHED_SERVERS (separated by commas or blanks), or `undefined` if it names none. */
export const memcachedServers = (): readonly string[] | undefined => {
  const names = (process.env['MEMCACHED_SERVERS'] ?? '').split(/[\s,]+/).filter((name) => name !== '')
  return names.length === 0 ? undefined : names
}

/** memcached writes `TCP INET: 12345` and renames the file into place when it listens. */
const readPort = (file: string): number | undefined => {
  if (!existsSync(file)) return undefined
  const port = /^TCP INET: (\d+)$/m.exec(readFileSync(file, 'utf8'))?.[1]
  return port === undefined ? undefined : Number(port)
}

const tlsArgs = ({ cert, key, clientCa }: MemcachedTlsFiles): readonly string[] => {
  const asks = clientCa === undefined ? [] : [`ssl_ca_cert=${clientCa}`, 'ssl_verify_mode=2']
  return ['-Z', '-o', [`ssl_chain_cert=${cert}`, `ssl_key=${key}`, ...asks].join(',')]
}

/** Whether it is through with a handshake of TLS, whoever it is and whether or not it lets us in. */
const shakesHands = (where: NetConnectOpts): Promise<boolean> =>
  new Promise((resolve) => {
    const connection = connectTls({ ...where, rejectUnauthorized: false })
    const settle = (answered: boolean): void => {
      connection.destroy()
      resolve(answered)
    }
    connection.setTimeout(500, () => settle(false))
    connection.once('secureConnect', () => settle(true))
    connection.once('error', () => settle(false))
    connection.once('close', () => settle(false))
  })

/** Asks for the version, which memcached tells without authentication too. */
const answers = (where: NetConnectOpts, options: MemcachedOptions): Promise<boolean> =>
  new Promise((resolve) => {
    const speaksBinary = !(options.extraArgs ?? []).includes('ascii')
    const question = speaksBinary
      ? Buffer.from('800b00000000000000000000000000000000000000000000', 'hex')
      : Buffer.from('version\r\n')
    const connection = connect(where, () => connection.write(question))
    const settle = (answered: boolean): void => {
      connection.destroy()
      resolve(answered)
    }
    connection.setTimeout(500, () => settle(false))
    connection.once('data', () => settle(true))
    connection.once('error', () => settle(false))
    connection.once('close', () => settle(false))
  })
