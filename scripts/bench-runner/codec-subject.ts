/** Runs in a process of its own: encodes and decodes sessions, one codec after the other. */
import { deserialize, serialize } from 'node:v8'
import { Packr } from 'msgpackr'
import { msgpackCodec } from 'nonstick/codecs'
import type { Sample } from './rounds.js'
import { type SessionData, type Size, sessionOf } from './sessions.js'
import { answerAll, cpuUs } from './subject.js'

interface Pair {
  encode(value: unknown): Uint8Array
  decode(bytes: Uint8Array): unknown
}

const packr = new Packr()
const text = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8')

/**
 * Each codec from values to bytes and back, as a store uses it. connect-redis, connect-pg-simple and connect-memcached
 * keep what `JSON.stringify` gives.
 */
const PAIRS: Readonly<Record<string, Pair>> = {
  nonstick: msgpackCodec,
  'JSON, as the peers use it': {
    encode: (value) => Buffer.from(JSON.stringify(value)),
    decode: (bytes) => JSON.parse(text(bytes)),
  },
  'v8.serialize': { encode: serialize, decode: deserialize },
  'msgpackr alone': { encode: (value) => packr.pack(value), decode: (bytes) => packr.unpack(bytes) },
}

export interface CodecQuestion {
  readonly codec: string
  readonly call: 'encode' | 'decode' | 'both'
  readonly bytes: Size
  readonly seconds: number
}

/** So many sessions take turns, so that no codec can remember the one before. */
const SESSIONS = 64

const made = new Map<Size, readonly SessionData[]>()

const sessionsOf = (bytes: Size): readonly SessionData[] => {
  const known = made.get(bytes)
  if (known !== undefined) return known
  const sessions = Array.from({ length: SESSIONS }, (_, at) => sessionOf(bytes, at + 1))
  made.set(bytes, sessions)
  return sessions
}

const pairOf = (codec: string): Pair => {
  const pair = PAIRS[codec]
  if (pair === undefined) throw new Error(`there is no codec ${codec}`)
  return pair
}

answerAll((question: CodecQuestion | { readonly names: true }): Sample | readonly string[] => {
  if ('names' in question) return Object.keys(PAIRS)
  const { codec, call, bytes, seconds } = question
  const pair = pairOf(codec)
  const values = sessionsOf(bytes)
  // A copy: some encoders write into one buffer again and again.
  const encoded = values.map((value) => Uint8Array.from(pair.encode(value)))
  const work: Readonly<Record<CodecQuestion['call'], (at: number) => unknown>> = {
    encode: (at) => pair.encode(values[at]),
    decode: (at) => pair.decode(encoded[at] as Uint8Array),
    both: (at) => pair.decode(pair.encode(values[at])),
  }
  const step = work[call]
  const startedMs = performance.now()
  const untilMs = startedMs + seconds * 1_000
  const usedUs = cpuUs()
  let operations = 0
  while (performance.now() < untilMs) {
    for (let at = 0; at < SESSIONS; at += 1) step(at)
    operations += SESSIONS
  }
  return {
    cpuUs: (cpuUs() - usedUs) / operations,
    perSecond: operations / ((performance.now() - startedMs) / 1_000),
    bytes: encoded.reduce((sum, { length }) => sum + length, 0) / SESSIONS,
  }
})
