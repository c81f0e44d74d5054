import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { type MemcachedServer, memcachedCounts, memcachedSays, startMemcached } from '../../scripts/servers/index.js'
import { eachLine } from './messages.js'
import { MAX_ITEM_BYTES } from './store-options.js'

/**
 * A real memcached with so little memory that it evicts, and that tells what it evicted: `watch evictions` of its text
 * protocol.
 */
export interface CacheServer {
  readonly port: number
  kill(): Promise<void>
  /** Starts it again, empty, after `kill`. */
  start(): Promise<void>
  stop(): void
  resume(): void
  /** Forgets everything; resolves when it is done. */
  flush(): Promise<void>
  /**
   * Fills it with so much else that it has to evict. Resolves with how much it evicted and could not tell of, as its
   * log was full.
   */
  squeeze(): Promise<{ readonly evicted: number; readonly untold: number }>
  end(): Promise<void>
}

const SMALL_ITEMS = ['-I', String(MAX_ITEM_BYTES), '-o', `slab_chunk_max=${MAX_ITEM_BYTES / 2}`]
/**
 * Whoever moves a page from one size to another evicts what stood in it, and tells nobody: so it is not done. The log
 * (in KiB) has room for all that one squeeze evicts.
 */
const TELLS_ALL = ['-o', 'slab_automove=0', '-o', 'worker_logbuf_size=8192', '-o', 'watcher_logbuf_size=16384']
/** The thread that writes the log, and counts what did not fit, sleeps up to a second. */
const LOG_IS_LATE_MS = 1_200
const FILLERS = 6_000
const FILLERS_AT_ONCE = 150
const FILLER = 'filler-'
const PATIENCE_MS = 5_000

/** @param onEvicted a key, and when it was evicted by the machine's clock, in ms */
export const cacheServer = async (
  logFile: string,
  onEvicted: (key: string, epochMs: number) => void,
): Promise<CacheServer> => {
  const server = await startMemcached({ memoryMb: 2, logFile, extraArgs: [...SMALL_ITEMS, ...TELLS_ALL] })
  let watching: Socket | undefined
  const watch = async (): Promise<void> => {
    const socket = await talk(server)
    watching = socket
    socket.setEncoding('utf8')
    socket.on(
      'data',
      eachLine((line) => {
        const [, seconds, key] = /^ts=([\d.]+) .*type=eviction key=(\S+)/.exec(line) ?? []
        if (key === undefined || key.startsWith(FILLER)) return
        onEvicted(decodeURIComponent(key), Number(seconds) * 1_000)
      }),
    )
    socket.write('watch evictions\r\n')
    await once(socket, 'data')
  }
  await watch()
  return {
    port: server.port,
    kill: async () => {
      watching?.destroy()
      await server.kill9()
    },
    start: async () => {
      await server.restart()
      await watch()
    },
    stop: () => server.pause(),
    resume: () => server.resume(),
    flush: async () => {
      await memcachedSays(server.address, 'flush_all', /OK\r\n/, PATIENCE_MS)
    },
    squeeze: async () => {
      const before = await counts(server)
      const socket = await talk(server)
      try {
        for (let sent = 0; sent < FILLERS; sent += FILLERS_AT_ONCE) {
          const sets = Array.from({ length: FILLERS_AT_ONCE }, (_, at) => filler(sent + at))
          const done = once(socket, 'data', { signal: AbortSignal.timeout(PATIENCE_MS) })
          socket.write(`${sets.join('')}version\r\n`)
          await done
          // Else the log of what it evicts overflows.
          await sleep(5)
        }
      } finally {
        socket.destroy()
      }
      await sleep(LOG_IS_LATE_MS)
      const after = await counts(server)
      return { evicted: after.evictions - before.evictions, untold: after.untold - before.untold }
    },
    end: async () => {
      watching?.destroy()
      await server.stop()
    },
  }
}

/** Of the sizes that sessions have, so that they compete for the same room; gone by itself soon. */
const filler = (number: number): string => {
  const size = 300 + ((number * 37) % 8_000)
  return `set ${FILLER}${number} 0 20 ${size} noreply\r\n${'x'.repeat(size)}\r\n`
}

const talk = async (server: MemcachedServer): Promise<Socket> => {
  const socket = connect(server.port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect', { signal: AbortSignal.timeout(PATIENCE_MS) })
  return socket
}

/** What memcached counts of evictions that its log does not have. */
const UNTOLD = [
  'log_worker_dropped',
  'log_watcher_skipped',
  'slab_reassign_evictions_nomem',
  'slab_reassign_inline_reclaim',
  'slab_reassign_busy_deletes',
] as const

const counts = async (server: MemcachedServer): Promise<{ evictions: number; untold: number }> => {
  const count = await memcachedCounts(server.address, 'stats', PATIENCE_MS)
  return { evictions: count('evictions'), untold: UNTOLD.reduce((sum, name) => sum + count(name), 0) }
}
