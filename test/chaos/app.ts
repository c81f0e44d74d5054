/**
 * One process of the cluster: a store on real servers, and clients that use it until they are told to stop. What it
 * does it writes to its history before and after. It ends with whoever conducts the run.
 */
import { connect } from 'node:net'
import { couchdb } from '../../src/backends/couchdb/index.js'
import { postgres } from '../../src/backends/postgres/index.js'
import { redis } from '../../src/backends/redis/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import type { Backend } from '../../src/contract/backend.js'
import type { FrontCache } from '../../src/contract/front-cache.js'
import { createSessionStore } from '../../src/index.js'
import type { Data } from '../simulation/data.js'
import { keysOf } from '../simulation/sealing.js'
import { lineWriter, monotonicMs } from './lines.js'
import { type AppOptions, type BackendPlace, eachLine, type FromApp, type ToApp } from './messages.js'
import { useOwnNetwork } from './own-network.js'
import { ABSOLUTE_TTL_MS, BACKEND_TIMEOUTS, CACHE_TIMEOUTS, MEMJS_TIMEOUTS, STORE } from './store-options.js'
import { tappedBackend, tappedCache } from './tap.js'
import { Workload } from './workload.js'

const options = JSON.parse(process.argv[2] ?? '') as AppOptions
useOwnNetwork(options.ports)
const lines = lineWriter(options.historyFile)

const openCache = async (): Promise<FrontCache> => {
  if (options.transport === 'nonstick') return memcached({ servers: options.servers, ...CACHE_TIMEOUTS })
  const { plainMemjsCache } = await import('../support/plain-memjs-cache.js')
  const servers = options.servers.split(',')
  const plain = plainMemjsCache({ servers, memjs: MEMJS_TIMEOUTS })
  // Where memjs keeps what, so that a server's losses are charged to its own sessions.
  return Object.assign(plain, { serverOf: (key: string) => servers[plain.client.getServer(key)] ?? '' })
}

const openBackend = ({ kind, url, database }: BackendPlace): Backend => {
  const { connectTimeoutMs, answerTimeoutMs } = BACKEND_TIMEOUTS
  if (kind === 'redis') return redis({ url, connectTimeoutMs, queryTimeoutMs: answerTimeoutMs })
  const patience = { maxConnections: 6, connectTimeoutMs }
  return kind === 'couchdb'
    ? couchdb({
        url,
        absoluteTtlMs: ABSOLUTE_TTL_MS,
        ...patience,
        requestTimeoutMs: answerTimeoutMs,
        ...(database === undefined ? {} : { database }),
      })
    : postgres({ connectionString: url, ...patience, queryTimeoutMs: answerTimeoutMs })
}

for (const event of ['uncaughtException', 'unhandledRejection'] as const)
  process.on(event, (error: unknown) =>
    lines.write({
      is: 'uncaught',
      at: monotonicMs(),
      error: error instanceof Error ? (error.stack ?? '') : String(error),
    }),
  )

/** Who was stopped, or got no processor, could not keep any deadline meanwhile. */
const TICK_MS = 50
const STALL_MS = 50
let lastTick = monotonicMs()
setInterval(() => {
  const now = monotonicMs()
  if (now - lastTick > TICK_MS + STALL_MS) lines.write({ is: 'stalled', at: now, from: lastTick })
  lastTick = now
}, TICK_MS)

const control = connect({ port: options.controlPort, host: '127.0.0.1' })
const say = (message: FromApp): void => void control.write(`${JSON.stringify(message)}\n`)
control.on('close', () => process.exit())
control.on('error', () => process.exit())

const cache = tappedCache(await openCache(), lines.write, STORE.cacheTimeoutMs)
const store = createSessionStore<Data>({
  cache,
  backend: tappedBackend(openBackend(options.backend), lines.write, STORE.backendTimeoutMs),
  identify: ({ user }) => user,
  ...STORE,
  ...(options.sealed ? { sealing: { keys: keysOf(options.name.startsWith('C') ? 1 : 0) } } : {}),
})
const workload = new Workload({ ...options, store, lines, say, serverOf: (key) => cache.serverOf(key) })

const answer = async (message: ToApp): Promise<void> => {
  switch (message.ask) {
    case 'start':
      for (const session of message.known) workload.know(session)
      void workload.start()
      return say({ say: 'done', number: message.number })
    case 'known':
      return workload.know(message.session)
    case 'ended':
      return workload.forget(message.name)
    case 'stop':
      await workload.stop()
      return say({ say: 'done', number: message.number })
    case 'look':
      await workload.look(message.client, message.at)
      return say({ say: 'done', number: message.number })
    case 'write':
      await workload.write(message.client, message.at)
      return say({ say: 'done', number: message.number })
    case 'close': {
      const { deadlineMs } = message
      workload.leave()
      lines.write({ is: 'close', at: monotonicMs(), deadlineMs })
      const { left, destroysLeft } = await store.close({ deadlineMs })
      lines.write({ is: 'closed', at: monotonicMs(), left, destroysLeft })
      return say({ say: 'done', number: message.number, value: { left, destroysLeft } })
    }
  }
}

control.setEncoding('utf8')
control.on(
  'data',
  eachLine((line) => void answer(JSON.parse(line) as ToApp)),
)
say({ say: 'hello', name: options.name, secret: options.secret })
