import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { inspect } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../../../scripts/servers/index.js'
import { startProcess } from '../../../scripts/servers/process.js'
import { memcached } from '../../../src/caches/memcached/index.js'
import { createSessionStore } from '../../../src/index.js'
import { memoryBackend } from '../../../src/memory.js'
import { quietRuntime } from '../../support/calendar.js'
import { tlsMemcached } from '../../support/certificates.js'
import { absent, type MemcachedServer, ownMemcached, skipUnless } from '../../support/servers.js'

const CREDENTIALS = { username: 'alice', password: 'correct horse' }
const NOT_BINARY = "answers, but not in Memcached's binary protocol"

/** What a cache of this address says of it: by a call, by health, and by an event of a store. */
const complaints = async (servers: string, options: object = {}): Promise<string[]> => {
  const patience = { operationTimeoutMs: 10_000, connectTimeoutMs: 10_000 }
  const cache = memcached({ servers, ...patience, ...options })
  const store = createSessionStore({ cache, backend: memoryBackend(), cacheTimeoutMs: 20_000, deadlineMs: 60_000 })
  const events: string[] = []
  store.on('fault', ({ error }) => events.push(error.message))
  try {
    const error = await cache.get('k').catch((raised: unknown) => raised)
    expect(error).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', tier: `memcached ${servers}`, answered: false })
    expect(inspect(error, { depth: 10, showHidden: true })).not.toMatch(/s3cret|alice|horse/)
    await expect(cache.set('k', Buffer.from('v'), quietRuntime.now() + 60_000)).rejects.toMatchObject({ applied: 'no' })
    const health = await cache.health()
    expect(health.state).toBe('down')
    await store.load('nobody')
    expect(events.length).toBeGreaterThan(0)
    return [(error as Error).message, health.reason ?? '', health.servers?.[0]?.reason ?? '', ...events]
  } finally {
    await store.close()
    await cache.close()
  }
}

const expectEach = (said: readonly string[], words: RegExp | string): void => {
  for (const line of said) {
    expect(line).toMatch(words)
    expect(line).not.toMatch(/did not answer|s3cret/)
  }
}

const closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

const listen = async (server: Server): Promise<string> => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => {})))
  closers.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** What it says, it says at once, or when it was spoken to, and then waits. */
const speaker = (bytes: Buffer, when: 'at once' | 'when it was asked'): Promise<string> =>
  listen(
    createServer((socket) => {
      if (when === 'at once') socket.write(bytes)
      else socket.once('data', () => socket.write(bytes))
    }),
  )

describe('a server that is no Memcached is named for what it is', () => {
  test.each([
    ['an SSH server', 'SSH-2.0-OpenSSH_9.2 s3cret\r\n', 'at once', 'it looks like an SSH server'],
    ['a mail server', '220 mail.example.org ESMTP s3cret\r\n', 'at once', 'it looks like a mail or FTP server'],
    ['a POP3 server', '+OK s3cret ready\r\n', 'at once', 'it looks like a mail or FTP server'],
    ['an IMAP server', '* OK [CAPABILITY IMAP4rev1] s3cret\r\n', 'at once', 'it looks like a mail or FTP server'],
    ['a MySQL', '\x4a\0\0\0\x0a8.0.36 s3cret\0', 'at once', 'it looks like a MySQL or MariaDB'],
    ['a Redis', "-ERR unknown command 's3cret'\r\n", 'when it was asked', 'it looks like a Redis'],
    ['a Redis in protected mode', '-DENIED Redis is running s3cret\r\n', 'at once', 'it looks like a Redis'],
    ['a server of web pages', '<html><title>s3cret</title>', 'when it was asked', 'it looks like an HTTP server'],
    ['a server that sends a TLS alert', '\x15\x03\x01\0\x02\x02\x46', 'when it was asked', 'it speaks TLS'],
    ['a proxy of the text protocol', 'SERVER_ERROR s3cret\r\n', 'when it was asked', 'it looks like a Memcached, or'],
    ['who knows what', 's3cret', 'when it was asked', `${NOT_BINARY}. Is the port right`],
    ['who sends single bytes', '\0', 'at once', `${NOT_BINARY}. Is the port right`],
  ] as const)('%s', async (_, bytes, when, words) => {
    const said = await complaints(await speaker(Buffer.from(bytes, 'latin1'), when))
    expectEach(said, words)
    expectEach(said, NOT_BINARY)
  })

  test('one that sends back what it is sent', async () => {
    const echo = createServer((socket) => socket.pipe(socket))
    expectEach(await complaints(await listen(echo), CREDENTIALS), NOT_BINARY)
  })

  test.each([{}, CREDENTIALS])('an HTTP server, also where it was to be signed in to (%j)', async (options) => {
    const http = createHttpServer((_request, response) => response.end('s3cret'))
    expectEach(await complaints(await listen(http), options), 'it looks like an HTTP server')
  })

  test('one that hangs up without a word, as one does that wants TLS', async () => {
    expectEach(await complaints(await listen(createTlsServer())), 'it wants TLS')
    expectEach(await complaints(await listen(createServer((socket) => socket.resetAndDestroy()))), 'it wants TLS')
  })

  test('one that nobody listens at is not mistaken for it', async () => {
    expectEach(await complaints(`127.0.0.1:${await freePort()}`), 'ECONNREFUSED')
  })
})

const own = await ownMemcached()

skipUnless('a Memcached that cannot be used is named for what it is', own, (start) => {
  let folder: string
  let server: MemcachedServer | undefined
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'nonstick-strangers-'))
    chmodSync(folder, 0o755)
  })
  afterEach(() => server?.stop())
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  test.each([{}, CREDENTIALS])('with -B ascii, also where it was to be signed in to (%j)', async (options) => {
    server = await start({ extraArgs: ['-B', 'ascii'] })
    expectEach(await complaints(server.address, options), /the text protocol alone.*-B ascii/)
  })

  test('with -Y', async () => {
    const file = join(folder, 'users')
    writeFileSync(file, 'alice:s3cret\n')
    // It is seen to be up by its answer to a line of text.
    server = await start({ extraArgs: ['-B', 'ascii', '-Y', file] })
    expectEach(await complaints(server.address), /the text protocol alone.*-Y/)
  })

  test('with more connections than it takes', async () => {
    server = await start({ extraArgs: ['-c', '20'] })
    const { port } = server
    const held = Array.from({ length: 40 }, () => connect(port, '127.0.0.1').on('error', () => {}))
    closers.push(() => {
      for (const socket of held) socket.destroy()
    })
    await expect.poll(() => held.some((socket) => socket.destroyed || socket.readableLength > 0)).toBe(true)
    expectEach(await complaints(server.address), /takes no more connections.*-c/)
  })
})

/** Starts a server that `scripts/servers` does not know, and waits until it takes connections. */
const startOther = async (command: string, args: readonly string[], port: number): Promise<string> => {
  const folder = mkdtempSync(join(tmpdir(), 'nonstick-stranger-'))
  const server = await startProcess({ command, args, folder, logFile: join(folder, 'log'), endSignal: 'SIGTERM' })
  closers.push(async () => {
    await server.end('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  })
  const isUp = (): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1').on('error', () => resolve(false))
      socket.once('connect', () => {
        socket.destroy()
        resolve(true)
      })
    })
  await expect.poll(isUp, { timeout: 15_000 }).toBe(true)
  return `127.0.0.1:${port}`
}

skipUnless('a Memcached with TLS', await tlsMemcached(), ({ authority, start }) => {
  afterAll(() => authority.remove())

  test('is said to want it', async () => {
    const { certFile, keyFile } = authority.issue()
    const server = await start({ tls: { cert: certFile, key: keyFile } })
    closers.push(() => server.stop())
    expectEach(await complaints(server.address), /it (?:wants|speaks) TLS.*`tls: true`/i)
  })
})

const redis = spawnSync('redis-server', ['--version'], { encoding: 'utf8' })

skipUnless(
  'a real Redis in place of a Memcached',
  redis.status === 0 ? 'redis-server' : absent('no redis-server here'),
  (command) => {
    const started = async (): Promise<string> => {
      const port = await freePort()
      const args = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--requirepass', 's3cret']
      return await startOther(command, args, port)
    }

    test('is named for what it is', async () => {
      expectEach(await complaints(await started()), 'it looks like a Redis')
    })

    test('is suspected where it is signed in to, since it says nothing then', async () => {
      const patience = { operationTimeoutMs: 500, connectTimeoutMs: 500 }
      expectEach(await complaints(await started(), { ...CREDENTIALS, ...patience }), /is no Memcached \(a Redis/)
    })
  },
)
