import { request } from 'node:http'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import express from 'express'
import session from 'express-session'
import { NonstickStore } from '../../../src/adapters/express.js'
import { postgres } from '../../../src/backends/postgres/index.js'
import { memcached } from '../../../src/caches/memcached/index.js'
import type { FrontCache } from '../../../src/contract/front-cache.js'
import { systemRuntime } from '../../../src/runtime.js'
import { Authority } from '../../support/certificates.js'
import { held, type Row } from '../attempt.js'
import type { Data, Ground } from '../ground.js'

/* Who stands on a line, or answers in a server's place. */

const SECRET: Data = { card: 'number 4711' }

const listening = async (ground: Ground, server: Server): Promise<number> => {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket.on('error', () => {})))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  ground.afterwards(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

/** Passes everything on to a server, and keeps what it hears. */
const listener = async (ground: Ground, port: number): Promise<{ readonly port: number; heard(): string }> => {
  const heard: Buffer[] = []
  const server = createServer((client) => {
    const onward = connect(port, '127.0.0.1')
    client.on('data', (chunk) => heard.push(chunk))
    onward.on('data', (chunk) => heard.push(chunk))
    onward.on('error', () => client.destroy())
    client.on('close', () => onward.destroy())
    client.pipe(onward).pipe(client)
  })
  return { port: await listening(ground, server), heard: () => Buffer.concat(heard).toString('latin1') }
}

/** Listens between a browser and the application, which stands behind a proxy that may or may not speak HTTPS. */
const takesCookie = async (ground: Ground, isSecure: boolean): Promise<boolean> => {
  const { cache, backend } = ground.tiers()
  const store = new NonstickStore({ cache, backend, namespace: ground.namespace, purgeEveryMs: 0 })
  ground.afterwards(() => store.sessions.close())
  const app = express()
    .set('trust proxy', 1)
    .use(
      session({
        store,
        secret: ground.random.bytes(32).toString('base64'),
        resave: false,
        saveUninitialized: true,
        cookie: { secure: isSecure, httpOnly: true, sameSite: 'lax' },
      }),
    )
    .get('/', (_, response) => {
      response.send('hello')
    })
  const server = app.listen(0, '127.0.0.1')
  ground.afterwards(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  const cookies = await new Promise<readonly string[]>((resolve, reject) => {
    request({ host: '127.0.0.1', port, agent: false, headers: { 'x-forwarded-proto': 'http' } }, (answer) => {
      answer.resume().once('end', () => resolve(answer.headers['set-cookie'] ?? []))
    })
      .once('error', reject)
      .end()
  })
  return cookies.length > 0
}

/** Answers in Memcached's place, with a certificate of its own making, and keeps what it is sent. */
const pretends = async (ground: Ground, isVerified: boolean): Promise<boolean> => {
  const [trusted, strange] = [new Authority(), new Authority()]
  ground.afterwards(() => {
    trusted.remove()
    strange.remove()
  })
  const { cert, key } = strange.issue()
  const heard: Buffer[] = []
  const server = createTlsServer({ cert, key }, (socket) => socket.on('data', (chunk) => heard.push(chunk)))
  server.on('tlsClientError', () => {})
  const port = await listening(ground, server)
  const tls = isVerified ? { ca: trusted.ca } : { rejectUnauthorized: false }
  const cache = memcached({ servers: `127.0.0.1:${port}`, tls, operationTimeoutMs: 1_000 })
  ground.afterwards(() => cache.close())
  await cache.set('attack', Buffer.from('number 4711'), systemRuntime.now() + 60_000).catch(() => {})
  return Buffer.concat(heard).length > 0
}

const overhearsCache = async (ground: Ground): Promise<boolean> => {
  const line = await listener(ground, ground.memcached.port)
  const store = ground.store({ cache: memcached({ servers: `127.0.0.1:${line.port}` }) })
  const { id } = await store.create(SECRET)
  await store.load(id)
  return line.heard().includes('4711')
}

/** Listens between the application and a PostgreSQL that speaks no TLS. */
const overhearsBackend = async (ground: Ground, sslmode: string): Promise<boolean> => {
  const line = await listener(ground, ground.postgres.port)
  const url = new URL(ground.postgres.adminUrl)
  url.port = String(line.port)
  url.searchParams.set('sslmode', sslmode)
  const store = ground.store({ backend: postgres({ connectionString: url.href, schema: ground.schema }) })
  await store.create(SECRET).catch(() => {})
  const heard = line.heard()
  return heard.includes('4711') || (url.password !== '' && heard.includes(url.password)) || heard.includes('SCRAM')
}

/** What a server says that is none, or that wants to do harm. */
const ANSWERS: readonly ((ground: Ground, asked: Buffer) => Buffer | undefined)[] = [
  () => undefined,
  () => Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello'),
  ({ random }) => random.bytes(4_096),
  // The header of an answer that says that four gigabytes follow.
  (_, asked) => {
    const header = Buffer.alloc(24)
    header.writeUInt8(0x81, 0)
    header.writeUInt8(asked.readUInt8(1), 1)
    header.writeUInt32BE(0xff_ff_ff_f0, 8)
    asked.copy(header, 12, 12, 16)
    return header
  },
]

/** Answers in Memcached's place, and wants the application to hang, to fall, or to believe. */
const lies = async (ground: Ground, isBounded: boolean): Promise<boolean> => {
  const store = ground.store()
  const { id } = await store.create({ balance: 1 })
  for (const answer of isBounded ? ANSWERS : ANSWERS.slice(0, 1)) {
    const port = await listening(
      ground,
      createServer((socket) => {
        socket.on('data', (asked) => {
          const said = asked.length >= 24 ? answer(ground, asked) : undefined
          if (said !== undefined) socket.write(said)
        })
      }),
    )
    const cache = memcached({ servers: `127.0.0.1:${port}`, operationTimeoutMs: 200, connectTimeoutMs: 1_000 })
    const lied = isBounded
      ? await ground
          .store({ cache })
          .load(id)
          .catch(() => undefined)
      : await Promise.race([
          new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 500)),
          hangs(port),
        ])
    if (lied?.data['balance'] !== 1) return true
  }
  return false
}

/** A client without a deadline. */
const hangs = (port: number): Promise<undefined> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(Buffer.alloc(24)))
    socket.once('data', () => resolve(undefined))
    socket.unref()
  })

/** Gives the genuine entry of another session to whoever asks for any. */
const mixesUp = async (ground: Ground, isAskedFor: 'another' | 'that one'): Promise<boolean> => {
  const store = ground.store()
  const [mine, other] = [await store.create({ balance: 1 }), await store.create({ balance: 1_000_000 })]
  const entry = await ground.entry(other.id)
  if (entry === undefined) throw new Error('there is an entry to give')
  const asked = isAskedFor === 'another' ? mine.id : other.id
  const cache = memcached({ servers: ground.memcached.address })
  const lying: FrontCache = {
    name: cache.name,
    get: async (key) => {
      const found = await cache.get(key)
      return found === undefined ? undefined : { ...found, value: entry }
    },
    add: (...given) => cache.add(...given),
    set: (...given) => cache.set(...given),
    cas: (...given) => cache.cas(...given),
    delete: (...given) => cache.delete(...given),
    health: () => cache.health(),
    close: () => cache.close(),
  }
  const found = await ground.store({ cache: lying }).load(asked)
  return found?.data['balance'] === 1_000_000
}

export const NETWORKS: readonly Row[] = [
  {
    name: 'browser-network',
    held: [
      held('a cookie that is `secure` is not sent where there is no HTTPS', takesCookie, true, [
        'the cookie is not `secure`',
        false,
      ]),
    ],
    limits: [
      { title: 'without `secure` whoever listens has the cookie', attempt: (ground) => takesCookie(ground, false) },
    ],
  },
  {
    name: 'memcached-network',
    held: [held('a server that cannot prove who it is is sent nothing', pretends, true, ['it is not verified', false])],
    limits: [{ title: 'without TLS all data is overheard', attempt: overhearsCache }],
  },
  {
    name: 'backend-network',
    held: [
      held('a PostgreSQL without TLS is told nothing where TLS is wanted', overhearsBackend, 'verify-full', [
        'sslmode is `disable`',
        'disable',
      ]),
    ],
    limits: [{ title: 'without TLS all data is overheard', attempt: (ground) => overhearsBackend(ground, 'disable') }],
  },
  {
    name: 'hostile-server',
    held: [
      held('a server that says nothing, nonsense or too much delays a call to its deadline at most', lies, true, [
        'a client without a deadline',
        false,
      ]),
      held("another session's entry is not believed, whatever server gives it", mixesUp, 'another' as const, [
        'that one is asked for',
        'that one' as const,
      ]),
    ],
    limits: [],
  },
]
