/** How the answers on pg's connections are held against what they may have, and the connection ended where they have more. */
import type { Readable } from 'node:stream'
import { Client, type ClientConfig } from 'pg'
import {
  type AnswerBound,
  AnswerMeter,
  boundOf,
  type Metered,
  tooMuch,
  UnreadAnswer,
  unreadable,
} from './answer-meter.js'

/** What pg reads a connection by: it listens to `data` and `end`. */
interface Source {
  on(event: string, listener: (chunk: Buffer) => void): unknown
}

/** The part of pg's connection that is used. It begins to read a stream when it is given one, at the end of TLS if need be. */
interface PgConnection {
  attachListeners(stream: Source): void
}

/**
 * A client of a pool that was opened here. From its first byte on, pg is given only what the meter has seen; and what pg
 * raises over it ends the connection, where it would end the process.
 */
export class MeteredClient extends Client implements Metered {
  readonly #meter = new AnswerMeter()
  unread: UnreadAnswer | undefined

  constructor(config?: ClientConfig) {
    super(config)
    const connection = (this as unknown as { readonly connection: PgConnection }).connection
    const attach = connection.attachListeners.bind(connection)
    connection.attachListeners = (stream) => attach(this.#guarded(stream as Readable))
  }

  /** On a connection that nobody uses, too, only the usual may come. */
  expect(bound: AnswerBound = boundOf()): void {
    this.#meter.expect(bound)
  }

  #guarded(stream: Readable): Source {
    const guard =
      (read: (chunk: Buffer) => void) =>
      (chunk: Buffer): void => {
        // What is on its way when the connection is ended still comes.
        if (stream.destroyed) return
        try {
          this.#meter.look(chunk)
          read(chunk)
        } catch (raised) {
          this.unread = raised instanceof UnreadAnswer ? raised : unreadable(raised)
          stream.destroy(this.unread)
        }
      }
    return { on: (event, listener) => stream.on(event, event === 'data' ? guard(listener) : listener) }
  }
}

/**
 * Counts the bytes that come over a connection of somebody else's pool. There may be any answers between ours, so that only
 * those are counted that we wait for, and pg is not kept from anything. `undefined` for a client that has no such stream,
 * as the native one.
 */
export const meteredByBytes = (client: object): Metered | undefined => {
  const connection: unknown = Reflect.get(client, 'connection')
  const stream: unknown = typeof connection === 'object' && connection !== null && Reflect.get(connection, 'stream')
  if (!isStream(stream)) return undefined
  let bound: AnswerBound | undefined
  let bytes = 0
  let unread: UnreadAnswer | undefined
  stream.on('data', (chunk: Uint8Array) => {
    bytes += chunk.length
    if (bound === undefined || bytes <= bound.bytes || unread !== undefined) return
    unread = tooMuch(bound)
    stream.destroy(unread)
  })
  return {
    get unread() {
      return unread
    },
    expect: (next) => {
      bound = next
      bytes = 0
    },
  }
}

const isStream = (stream: unknown): stream is Pick<Readable, 'on' | 'destroy'> =>
  typeof stream === 'object' &&
  stream !== null &&
  (['on', 'destroy'] as const).every((name) => typeof Reflect.get(stream, name) === 'function')
