import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs'
import { connect, type NetConnectOpts } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findRedis } from './find.js'
import { freePort, lastLines, removeFolder, type StartedProcess, startProcess, waitUntil } from './process.js'

export interface RedisServerOptions {
  /** A fixed port. By default a free one is looked for. */
  readonly port?: number
  /** Listens on a unix socket in the server's own folder as well. @default false */
  readonly unixSocket?: boolean
  /** Speaks TLS as well, at a port of its own, with the certificate and the key in these files. */
  readonly tls?: {
    readonly cert: string
    readonly key: string
    /** Whoever connects must have a certificate of this authority. By default nobody needs one. */
    readonly clientCa?: string
  }
  /** Settings beside those that are usual here, by their names: `{ 'maxmemory': '50mb' }`. */
  readonly settings?: Readonly<Record<string, string>>
  /** Is a Sentinel in place of a server. */
  readonly isSentinel?: boolean
  /** Where stdout and stderr go. By default into the server's folder, which vanishes with it. */
  readonly logFile?: string
}

/** A real Redis on loopback that this program started. */
export interface RedisServer {
  readonly kind: 'redis'
  /** `127.0.0.1:port` */
  readonly address: string
  readonly port: number
  /** `redis://127.0.0.1:port` */
  readonly url: string
  /** The port at which it speaks TLS, where it does. */
  readonly tlsPort: number | undefined
  /** The path of its unix socket, where it has one. */
  readonly socket: string | undefined
  readonly pid: number
  readonly logFile: string
  /** The folder of its log of changes, of which nothing is ever rewritten. */
  readonly changesFolder: string
  /** Sends one command, of plain words, and gives the answer as it came. Rejects where it is an error, or none comes in 10 s. */
  ask(...words: readonly string[]): Promise<string>
  /** Ends it without a goodbye; resolves when it is gone. */
  kill9(): Promise<void>
  /** Ends it and removes its folder; resolves when it is gone. May be called twice, and after `kill9`. */
  stop(): Promise<void>
  /** Ends it without a goodbye if it runs, and starts it at the same address with what its log of changes has. */
  restart(): Promise<void>
  /** Freezes it: connections are accepted by the kernel and never answered. */
  pause(): void
  resume(): void
}

/**
 * What the kernel was given outlives a process, which is all that is killed here. With `everysec` a server whose disk is
 * slow answers before the kernel has the change.
 */
const USUAL: Readonly<Record<string, string>> = {
  appendonly: 'yes',
  appendfsync: 'no',
  'auto-aof-rewrite-percentage': '0',
  save: '',
  'repl-diskless-sync-delay': '0',
}

/**
 * Starts a Redis on 127.0.0.1 that logs every change, and resolves when it answers. Rejects if none is installed (see
 * `ensureRedis`), or with the end of its log if it does not come up.
 */
export const startRedis = async (options: RedisServerOptions = {}): Promise<RedisServer> => {
  const command = findRedis()
  if (command === undefined) throw new Error('no redis-server on this machine (Debian: apt-get install redis-server)')
  const folder = mkdtempSync(join(tmpdir(), 'nonstick-redis-'))
  chmodSync(folder, 0o700)
  const logFile = options.logFile ?? join(folder, 'redis.log')
  const socket = options.unixSocket === true ? join(folder, 'redis.sock') : undefined
  const isSentinel = options.isSentinel === true
  let port = options.port ?? 0
  let tlsPort: number | undefined
  let current: StartedProcess | undefined

  const start = async (): Promise<void> => {
    // Somebody else may take the port between asking for it and binding it.
    for (let attempt = 1; ; attempt += 1) {
      if (options.port === undefined && current === undefined) port = await freePort()
      if (options.tls !== undefined && current === undefined) tlsPort = await freePort()
      try {
        current = await startOnce()
        return
      } catch (error) {
        if (options.port !== undefined || current !== undefined || attempt === 5) throw error
      }
    }
  }

  const startOnce = async (): Promise<StartedProcess> => {
    const file = join(folder, 'redis.conf')
    const settings = {
      ...(isSentinel ? {} : USUAL),
      bind: '127.0.0.1',
      port: String(port),
      dir: folder,
      ...(socket === undefined ? {} : { unixsocket: socket }),
      ...(options.tls === undefined ? {} : tlsSettings(options.tls, tlsPort)),
      ...options.settings,
    }
    const lines = Object.entries(settings).map(([name, value]) => `${name} ${value === '' ? '""' : value}`)
    writeFileSync(file, `${lines.join('\n')}\n`)
    const args = isSentinel ? [file, '--sentinel'] : [file]
    const started = await startProcess({ command, args, folder, logFile, endSignal: 'SIGTERM' })
    const complaint = (): string => `redis-server did not come up:\n${lastLines(logFile)}`
    try {
      await waitUntil(
        async () => {
          if (started.isGone()) throw new Error(complaint())
          return await askOnce(port, ['PING']).then(
            (answer) => answer === 'PONG',
            () => false,
          )
        },
        10_000,
        complaint,
      )
    } catch (error) {
      await started.end('SIGKILL')
      throw error
    }
    if (started.isGone()) throw new Error(complaint())
    return started
  }

  const running = (): StartedProcess => {
    if (current === undefined) throw new Error('The server was never started')
    return current
  }

  try {
    await start()
  } catch (error) {
    await removeFolder(folder)
    throw error
  }

  return {
    kind: 'redis',
    get address() {
      return `127.0.0.1:${port}`
    },
    get port() {
      return port
    },
    get url() {
      return `redis://127.0.0.1:${port}`
    },
    get tlsPort() {
      return tlsPort
    },
    socket,
    get pid() {
      return running().pid
    },
    logFile,
    changesFolder: join(folder, 'appendonlydir'),
    ask: (...words) => askOnce(port, words),
    kill9: () => running().end('SIGKILL'),
    stop: async () => {
      await running().end('SIGKILL')
      await removeFolder(folder)
    },
    restart: async () => {
      await running().end('SIGKILL')
      await start()
    },
    pause: () => running().signal('SIGSTOP'),
    resume: () => running().signal('SIGCONT'),
  }
}

const tlsSettings = (
  { cert, key, clientCa }: NonNullable<RedisServerOptions['tls']>,
  port: number | undefined,
): Readonly<Record<string, string>> => ({
  'tls-port': String(port),
  'tls-cert-file': cert,
  'tls-key-file': key,
  // It wants to know an authority also where it asks nobody for a certificate.
  'tls-ca-cert-file': clientCa ?? cert,
  'tls-auth-clients': clientCa === undefined ? 'no' : 'yes',
})

/** One command over a connection of its own, by way of the simplest form of the protocol. */
const askOnce = (port: number, words: readonly string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    const where: NetConnectOpts = { host: '127.0.0.1', port }
    const connection = connect(where, () => {
      const parts = words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`)
      connection.write(`*${words.length}\r\n${parts.join('')}`)
    })
    let text = ''
    const settle = (done: () => void): void => {
      connection.destroy()
      done()
    }
    connection.setTimeout(10_000, () => settle(() => reject(new Error('redis-server did not answer'))))
    connection.on('data', (chunk) => {
      text += chunk.toString('utf8')
      const answer = answerIn(text)
      if (answer === undefined) return
      settle(() => (text.startsWith('-') ? reject(new Error(answer)) : resolve(answer)))
    })
    connection.once('error', (error) => settle(() => reject(error)))
    connection.once('close', () => settle(() => reject(new Error('redis-server closed the connection'))))
  })

/** The whole answer, its lines without their marks; `undefined` where more of it is to come. */
const answerIn = (text: string): string | undefined => {
  const lines: string[] = []
  const readFrom = (at: number): number | undefined => {
    const end = text.indexOf('\r\n', at)
    if (end < 0) return undefined
    const [mark, rest] = [text[at], text.slice(at + 1, end)]
    if (mark === '$' && rest !== '-1') {
      const last = end + 2 + Number(rest)
      if (text.length < last + 2) return undefined
      lines.push(text.slice(end + 2, last))
      return last + 2
    }
    if (mark !== '*') {
      lines.push(rest)
      return end + 2
    }
    let next: number | undefined = end + 2
    for (let item = 0; item < Number(rest) && next !== undefined; item += 1) next = readFrom(next)
    return next
  }
  return readFrom(0) === undefined ? undefined : lines.join('\n')
}
