import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import type { EpochMs } from '../contract/time.js'
import { ScriptedEntries, STATUS } from './scripted-memcached/entries.js'
import { type ScriptedCommand, type ScriptedFault, ScriptedFaults } from './scripted-memcached/faults.js'
import { answerBytes, readRequests, type WireAnswer, type WireRequest } from './scripted-memcached/wire.js'

export type { FaultScope, ScriptedCommand, ScriptedFault, ScriptedFaults } from './scripted-memcached/faults.js'

export interface ScriptedMemcachedOptions {
  /** Where to listen. @default '127.0.0.1' */
  readonly host?: string
  /** @default 0, a free one */
  readonly port?: number
  /** A unix socket to listen on instead. */
  readonly path?: string
  /** The server's clock. @default Date.now */
  readonly now?: () => EpochMs
  /** The largest item, key and overhead included, in bytes. @default 1_048_576 */
  readonly maxItemBytes?: number
  /** Asks for these (SASL PLAIN). @default nothing is asked for */
  readonly credentials?: { readonly username: string; readonly password: string }
}

export interface ScriptedMemcached {
  /** As the option `servers` of `memcached` takes it. */
  readonly address: string
  /** 0 on a unix socket. */
  readonly port: number
  /** Of the unix socket; `undefined` where it listens on a port. */
  readonly path: string | undefined
  readonly faults: ScriptedFaults

  /** How many commands of that kind have arrived since it was made, whether answered or not. */
  received(command: ScriptedCommand): number
  /** Resolves when that many commands of that kind have arrived in all. */
  arrival(command: ScriptedCommand, count?: number): Promise<void>
  /** How many connections have been made to it, and how many stand. */
  readonly connections: { readonly made: number; readonly open: number }
  /** Bytes sent to all of its connections, unasked. */
  say(bytes: Uint8Array): void

  /** Lets the connections go on that a fault `stall` holds up, the first one held up first. */
  resume(): void

  /** Forgets all entries. */
  flush(): void
  /**
   * As if its process had been killed and started: connections are reset, CAS ids and counters start again,
   * and the entries are gone, unless `keepEntries` plays the server that comes back with old contents.
   */
  restart(options?: { readonly keepEntries?: boolean }): Promise<void>
  /** Ends the connections that stand. */
  disconnect(how: 'fin' | 'reset'): Promise<void>
  /** Resets what is connected and refuses new connections until `accept`. */
  refuse(): Promise<void>
  accept(): Promise<void>
  close(): Promise<void>
}

/**
 * A Memcached stand-in inside this process: it speaks enough of the binary protocol to take the real one's
 * place, and breaks on demand. It is a test double, not a product: it evicts nothing, keeps no limit of
 * memory, and knows none of the commands that nonstick does not use.
 *
 *     const server = await scriptedMemcached()
 *     server.faults.add({ kind: 'lose-answer' }, { on: 'set', times: 1 })
 *     const cache = memcached({ servers: server.address })
 */
export const scriptedMemcached = async (options: ScriptedMemcachedOptions = {}): Promise<ScriptedMemcached> => {
  const double = new Double(options)
  await double.accept()
  return double
}

interface ConnectionState {
  hangs: boolean
  signedIn: boolean
}

const VERSION = '1.6.0-scripted'

class Double implements ScriptedMemcached {
  readonly faults = new ScriptedFaults()
  readonly #options: ScriptedMemcachedOptions
  readonly #entries: ScriptedEntries
  readonly #sockets = new Set<Socket>()
  readonly #received = new Map<ScriptedCommand, number>()
  readonly #waiting = new Set<() => void>()
  readonly #stalled = new Map<Socket, { readonly state: ConnectionState; readonly requests: WireRequest[] }>()
  #listener: Server | undefined
  #port: number
  #made = 0

  constructor(options: ScriptedMemcachedOptions) {
    this.#options = options
    this.#port = options.port ?? 0
    this.#entries = new ScriptedEntries(options.now ?? Date.now, options.maxItemBytes ?? 1024 * 1024)
  }

  get port(): number {
    return this.#port
  }

  get path(): string | undefined {
    return this.#options.path
  }

  get address(): string {
    const { path, host = '127.0.0.1' } = this.#options
    if (path !== undefined) return path
    return host.includes(':') ? `[${host}]:${this.#port}` : `${host}:${this.#port}`
  }

  get connections(): { readonly made: number; readonly open: number } {
    return { made: this.#made, open: this.#sockets.size }
  }

  received(command: ScriptedCommand): number {
    return this.#received.get(command) ?? 0
  }

  async arrival(command: ScriptedCommand, count = 1): Promise<void> {
    while (this.received(command) < count) await new Promise<void>((resolve) => this.#waiting.add(resolve))
  }

  say(bytes: Uint8Array): void {
    for (const socket of this.#sockets) socket.write(bytes)
  }

  resume(): void {
    const stalled = [...this.#stalled]
    this.#stalled.clear()
    for (const [socket, { state, requests }] of stalled) {
      for (const request of requests) {
        const answer = this.#carryOut(state, request)
        if (socket.writable) socket.write(answer)
      }
      socket.resume()
      if (socket.readableEnded) socket.end()
    }
  }

  flush(): void {
    this.#entries.flush()
  }

  async restart({ keepEntries = false }: { readonly keepEntries?: boolean } = {}): Promise<void> {
    this.#entries.restart(keepEntries)
    await this.disconnect('reset')
  }

  async disconnect(how: 'fin' | 'reset'): Promise<void> {
    // Also one that the client has reset already, which is an error of the socket and none of this.
    const closed = [...this.#sockets].map((socket) => new Promise((resolve) => socket.once('close', resolve)))
    for (const socket of this.#sockets) end(socket, how)
    await Promise.all(closed)
  }

  async refuse(): Promise<void> {
    const listener = this.#listener
    if (listener === undefined) return
    this.#listener = undefined
    const closed = once(listener, 'close')
    listener.close()
    await this.disconnect('reset')
    await closed
  }

  async accept(): Promise<void> {
    if (this.#listener !== undefined) return
    const { host = '127.0.0.1', path } = this.#options
    const listener = createServer({ allowHalfOpen: true }, (socket) => this.#connected(socket))
    if (path === undefined) listener.listen(this.#port, host)
    else listener.listen(path)
    await once(listener, 'listening')
    const address = listener.address()
    if (typeof address === 'object' && address !== null) this.#port = address.port
    this.#listener = listener
  }

  close(): Promise<void> {
    return this.refuse()
  }

  #connected(socket: Socket): void {
    this.#made += 1
    this.#sockets.add(socket)
    socket.setNoDelay(true)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    socket.on('end', () => {
      if (!this.#stalled.has(socket)) socket.end()
    })
    let received: Buffer = Buffer.alloc(0)
    const state: ConnectionState = { hangs: false, signedIn: this.#options.credentials === undefined }
    socket.on('data', (chunk) => {
      try {
        const { requests, rest } = readRequests(Buffer.concat([received, chunk]))
        received = rest
        for (const request of requests) this.#handle(socket, state, request)
      } catch {
        socket.destroy()
      }
    })
  }

  #handle(socket: Socket, state: ConnectionState, request: WireRequest): void {
    this.#arrived(request.command)
    if (state.hangs || socket.destroyed) return
    const stalled = this.#stalled.get(socket)
    if (stalled !== undefined) {
      stalled.requests.push(request)
      return
    }
    const fault = this.faults.next(request.command)
    if (fault?.kind === 'hang') {
      state.hangs = true
      return
    }
    if (fault?.kind === 'stall') {
      this.#stalled.set(socket, { state, requests: [request] })
      socket.pause()
      return
    }
    const carriedOut =
      fault?.kind !== 'status' && !((fault?.kind === 'fin' || fault?.kind === 'reset') && fault.carryOut === false)
    const answer = carriedOut ? this.#carryOut(state, request) : Buffer.alloc(0)
    if (fault === undefined) socket.write(answer)
    else misbehave(socket, state, request, answer, fault)
    if (request.command === 'quit') socket.end()
  }

  #arrived(command: ScriptedCommand): void {
    this.#received.set(command, this.received(command) + 1)
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }

  #carryOut(state: ConnectionState, request: WireRequest): Buffer {
    switch (request.command) {
      case 'sasl-mechanisms':
        return this.#options.credentials === undefined
          ? answerBytes(request, { status: STATUS.unknownCommand })
          : answerBytes(request, { value: Buffer.from('PLAIN') })
      case 'sasl-authenticate':
        return answerBytes(request, this.#signIn(state, request))
      case 'version':
        return answerBytes(request, { value: Buffer.from(VERSION) })
      default:
        if (!state.signedIn) return answerBytes(request, { status: STATUS.authenticationError })
    }
    switch (request.command) {
      case 'noop':
      case 'quit':
        return answerBytes(request, {})
      case 'stat':
        return this.#stats(request)
      default:
        return answerBytes(request, this.#entries.answer(request))
    }
  }

  #signIn(state: ConnectionState, { key, value }: WireRequest): WireAnswer {
    const { credentials } = this.#options
    if (credentials === undefined) return { status: STATUS.unknownCommand }
    const expected = `\0${credentials.username}\0${credentials.password}`
    if (key.toString() !== 'PLAIN' || value.toString() !== expected) return { status: STATUS.authenticationError }
    state.signedIn = true
    return { value: Buffer.from('Authenticated') }
  }

  #stats(request: WireRequest): Buffer {
    const now = Math.floor((this.#options.now ?? Date.now)() / 1000)
    const stats = new Map<string, string | number>([
      ['pid', process.pid],
      ['time', now],
      ['version', VERSION],
      ['curr_connections', this.#sockets.size],
      ['total_connections', this.#made],
      ['curr_items', this.#entries.size],
      ['evictions', 0],
      ...COUNTERS.map((counter) => [counter, this.#entries.counters.get(counter) ?? 0] as const),
    ])
    const lines = [...stats].map(([key, value]) =>
      answerBytes(request, { key: Buffer.from(key), value: Buffer.from(String(value)) }),
    )
    return Buffer.concat([...lines, answerBytes(request, {})])
  }
}

const COUNTERS = [
  'cmd_get',
  'cmd_set',
  'cmd_touch',
  'get_hits',
  'get_misses',
  'delete_hits',
  'delete_misses',
  'cas_hits',
  'cas_misses',
  'cas_badval',
] as const

const misbehave = (
  socket: Socket,
  state: ConnectionState,
  request: WireRequest,
  answer: Buffer,
  fault: Exclude<ScriptedFault, { kind: 'hang' | 'stall' }>,
): void => {
  switch (fault.kind) {
    case 'lose-answer':
      return
    case 'delay':
      setTimeout(() => socket.writable && socket.write(answer), fault.ms).unref()
      return
    case 'fin':
    case 'reset':
      end(socket, fault.kind)
      return
    case 'cut':
      state.hangs = true
      socket.write(answer.subarray(0, fault.afterBytes), () => {
        if (fault.then !== 'hang') end(socket, fault.then)
      })
      return
    case 'garbage':
      socket.write(fault.bytes)
      return
    case 'tamper':
      socket.write(fault.change(answer))
      return
    case 'wrong-key':
      socket.write(withAnotherKey(answer))
      return
    case 'status':
      socket.write(answerBytes(request, { status: fault.status }))
      return
  }
}

/** A unix socket knows no reset. */
const end = (socket: Socket, how: 'fin' | 'reset'): void => {
  if (how === 'fin') socket.end(() => socket.destroySoon())
  else if (socket.remoteFamily === undefined) socket.destroy()
  else socket.resetAndDestroy()
}

const withAnotherKey = (answer: Buffer): Buffer => {
  const changed = Buffer.from(answer)
  const keyAt = 24 + changed.readUInt8(4)
  if (changed.readUInt16BE(2) > 0) changed.writeUInt8(changed.readUInt8(keyAt) ^ 1, keyAt)
  return changed
}
