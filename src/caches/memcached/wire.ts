/** What carries the bytes of one connection: a socket, with TLS over it where that is asked for. */
import { connect, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { EpochMs } from '../../contract/time.js'
import { isError } from '../../tools/is-error.js'
import type { ServerAddress, TcpTarget } from './servers.js'
import { HUNG_UP } from './strangers.js'
import { brokenOff, connectionOptions, inWords, type MemcachedTls } from './tls.js'

export interface WireEvents {
  readonly received: (chunk: Buffer) => void
  /** Called once or more often, also by `reset` before it returns, and after `end`; only the first time says why. */
  readonly ended: (cause: Error) => void
}

/** It is used once, like the connection that it belongs to. */
export interface Wire {
  /** What of the making of the connection is waited for, in words; `undefined` where only answers are. */
  readonly isWaitingFor: string | undefined
  /** Until when the server's certificate is valid; `undefined` where there is none, or it is not known yet. */
  readonly certificateEndsAt: EpochMs | undefined
  /** Sends whole requests, as many as it can at once; in TLS not before the server has proved who it is. */
  write(requests: readonly Buffer[]): void
  /** Ends it at once. What is not sent yet is dropped where the system can do that. */
  reset(): void
  /** Ends it when all has been sent. */
  end(): void
}

/** Begins to connect. */
export const openWire = (target: ServerAddress['target'], tls: MemcachedTls | undefined, events: WireEvents): Wire => {
  const socket = 'path' in target ? connect(target.path) : connect(target.port, target.host)
  socket.setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS)
  if (tls !== undefined && 'host' in target) return new EncryptedWire(socket, target, tls, events)
  socket.on('data', events.received)
  socket.on('error', (error: NodeJS.ErrnoException) => {
    const hungUp = socket.bytesRead === 0 && isHangingUp(error)
    events.ended(hungUp ? new Error(HUNG_UP, { cause: error }) : error)
  })
  socket.on('end', () => events.ended(new Error(socket.bytesRead === 0 ? HUNG_UP : IT_CLOSED)))
  socket.on('close', () => events.ended(new Error(WAS_CLOSED)))
  return {
    isWaitingFor: undefined,
    certificateEndsAt: undefined,
    write: (requests) => writeAll(socket, requests),
    reset: () => resetSocket(socket, 'host' in target),
    end: () => endSocket(socket),
  }
}

/** The most that one record of TLS holds. */
const LARGEST_RECORD_BYTES = 16_384

/**
 * A record of TLS holds either whole requests, or a piece of a single one. Memcached (1.6.18 and others) waits for its
 * socket to become readable, and does not ask OpenSSL whether something is left of the last record: what stands behind a
 * request in its last record would wait there until somebody sends more.
 */
class EncryptedWire implements Wire {
  readonly #socket: Socket
  readonly #target: TcpTarget
  readonly #tls: MemcachedTls
  readonly #events: WireEvents
  #secure: TLSSocket | undefined
  /** Whether the server has proved who it is, as far as that is asked for. */
  #isTrusted = false
  #unsent: Buffer[] = []
  #isSending = false
  #isToEnd = false
  #wasAnswered = false

  constructor(socket: Socket, target: TcpTarget, tls: MemcachedTls, events: WireEvents) {
    this.#socket = socket
    this.#target = target
    this.#tls = tls
    this.#events = events
    socket.once('connect', () => this.#encrypt())
    socket.on('error', (error) => this.#failed(error))
    socket.on('close', () => this.#closed())
  }

  get isWaitingFor(): string | undefined {
    return this.#secure === undefined || this.#isTrusted
      ? undefined
      : 'the handshake of TLS: it hangs, or speaks no TLS on this port'
  }

  get certificateEndsAt(): EpochMs | undefined {
    const endsAt = this.#isTrusted ? Date.parse(this.#secure?.getPeerCertificate().valid_to ?? '') : Number.NaN
    return Number.isNaN(endsAt) ? undefined : endsAt
  }

  write(requests: readonly Buffer[]): void {
    this.#unsent.push(...requests)
    this.#send()
  }

  reset(): void {
    resetSocket(this.#socket, true)
    this.#secure?.destroy()
  }

  end(): void {
    this.#isToEnd = true
    this.#send()
  }

  /** The socket stands. What the options give for TLS is asked for now, and not before. */
  #encrypt(): void {
    try {
      const options = connectionOptions(this.#tls, this.#target)
      const secure = connectTls({ ...options, socket: this.#socket })
      this.#secure = secure
      secure.once('secureConnect', () => this.#stands(secure))
      secure.on('error', (error) => this.#failed(error))
      secure.on('end', () => this.#closed())
      secure.on('close', () => this.#closed())
    } catch (error) {
      this.#events.ended(isError(error) ? error : new Error(String(error)))
    }
  }

  #stands(secure: TLSSocket): void {
    this.#isTrusted = true
    secure.on('data', (chunk: Buffer) => {
      this.#wasAnswered = true
      this.#events.received(chunk)
    })
    this.#send()
  }

  /** One write at a time: Node would join those that wait for each other, and OpenSSL cut them anew. */
  #send(): void {
    if (this.#isSending) return
    const secure = this.#isTrusted ? this.#secure : undefined
    if (secure === undefined || this.#unsent.length === 0) {
      if (this.#isToEnd) endSocket(secure ?? this.#socket)
      return
    }
    this.#isSending = true
    secure.write(this.#nextWrite(), (error) => {
      this.#isSending = false
      if (!error) this.#send()
    })
  }

  #nextWrite(): Buffer {
    let bytes = 0
    const tooMany = this.#unsent.findIndex(({ length }) => {
      bytes += length
      return bytes > LARGEST_RECORD_BYTES
    })
    const count = tooMany === -1 ? this.#unsent.length : Math.max(1, tooMany)
    return Buffer.concat(this.#unsent.splice(0, count))
  }

  #failed(error: Error): void {
    if (isHangingUp(error) && !this.#wasAnswered && this.#secure !== undefined)
      this.#events.ended(this.#brokenOff(error))
    else this.#events.ended(inWords(error, this.#tls, this.#target))
  }

  #closed(): void {
    this.#events.ended(this.#wasAnswered || this.#secure === undefined ? new Error(IT_CLOSED) : this.#brokenOff())
  }

  #brokenOff(error?: Error): Error {
    if (this.#isTrusted) return brokenOff('first request', error)
    return brokenOff(this.#socket.bytesRead === 0 ? 'greeting' : 'handshake', error)
  }
}

const writeAll = (socket: Socket, parts: readonly Buffer[]): void => {
  socket.cork()
  for (const part of parts) socket.write(part)
  socket.uncork()
}

/**
 * A reset drops what is not sent yet; an ordinary close would still deliver it. On a unix socket it is an error to ask for
 * one, and while connecting it would wait for the connection.
 */
const resetSocket = (socket: Socket, isTcp: boolean): void => {
  if (isTcp && !socket.connecting) socket.resetAndDestroy()
  else socket.destroy()
}

const endSocket = (socket: Socket): void => {
  socket.end()
  socket.destroySoon()
}

/** Errors of a connection that stood: the other side ended it. */
const isHangingUp = (error: NodeJS.ErrnoException): boolean => error.code === 'ECONNRESET' || error.code === 'EPIPE'

const IT_CLOSED = 'it closed the connection'
const WAS_CLOSED = 'the connection was closed'

/** After so long without traffic the system begins to ask whether the other side is still there. */
const KEEP_ALIVE_MS = 30_000
