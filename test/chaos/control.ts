import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { type FaultProxy, faultProxy } from './fault-proxy.js'
import { type BackendKind, WIRES, type WireName } from './faults.js'
import type { Note } from './notes.js'
import { BACKEND_TIMEOUTS, CACHE_TIMEOUTS } from './store-options.js'

/** What the control asks one server. */
export interface Probe {
  readonly wire: WireName
  readonly port: number
  /** In base64. */
  readonly request: string
  /** Later than that an answer is late. */
  readonly withinMs: number
}

/** An answer that was late, or is not yet there; moments by the machine's monotonic clock. */
export interface ControlMessage {
  readonly wire: WireName
  readonly from: number
  readonly to: number
}

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 4, 210, 22, 47])
const REQUESTS: Readonly<Record<BackendKind | 'memcached', Buffer>> = {
  memcached: Buffer.from('version\r\n'),
  postgres: SSL_REQUEST,
  redis: Buffer.from('PING\r\n'),
  couchdb: Buffer.from('GET / HTTP/1.1\r\nhost: control\r\nconnection: close\r\n\r\n'),
}

/** A call of the library has more to do within its deadline than to connect and to be answered once. */
const SHARE_OF_THE_DEADLINE = 0.5

const program = fileURLToPath(new URL('control-process.ts', import.meta.url))

/**
 * Measures what the machine allows while the library is tested: a process that asks the same servers through wires which
 * are never struck. Whenever its answer is late, a call of the library may be late for the same reason.
 *
 * @param portOf the servers
 * @param note is told of each late answer
 */
export const startControl = async (
  portOf: Readonly<Record<WireName, () => number>>,
  backend: BackendKind,
  note: (note: Note) => void,
): Promise<{ close(): Promise<void> }> => {
  const wires: FaultProxy[] = []
  const probes: Probe[] = []
  for (const name of WIRES) {
    const proxy = await faultProxy(portOf[name])
    wires.push(proxy)
    const [request, deadlineMs] =
      name === 'backend'
        ? [REQUESTS[backend], BACKEND_TIMEOUTS.answerTimeoutMs]
        : [REQUESTS.memcached, CACHE_TIMEOUTS.operationTimeoutMs]
    probes.push({
      wire: name,
      port: proxy.port,
      request: request.toString('base64'),
      withinMs: deadlineMs * SHARE_OF_THE_DEADLINE,
    })
  }
  const child = fork(program, [JSON.stringify(probes)], { execArgv: ['--import', import.meta.resolve('tsx')] })
  child.on('message', ({ wire, from, to }: ControlMessage) => note({ is: 'late', at: from, until: to, wire }))
  return {
    close: async () => {
      child.kill('SIGKILL')
      for (const wire of wires) await wire.close()
    },
  }
}
