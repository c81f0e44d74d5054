import type { EpochMs } from '../../contract/time.js'
import type { WireAnswer, WireRequest } from './wire.js'

interface Item {
  readonly value: Buffer
  readonly flags: Buffer
  readonly cas: bigint
  /** In whole seconds of the server's clock; `undefined` for ever. */
  expiresAtSecond: number | undefined
}

export const STATUS = {
  ok: 0,
  notFound: 1,
  exists: 2,
  tooLarge: 3,
  invalidArguments: 4,
  notStored: 5,
  notANumber: 6,
  authenticationError: 0x20,
  unknownCommand: 0x81,
} as const

const LONGEST_RELATIVE_SECONDS = 30 * 24 * 60 * 60

/** As the time for which a number is to stand. */
const NOT_TO_BEGIN = 0xffff_ffff

/** About what a Memcached adds to key and value of an item. */
const ITEM_OVERHEAD_BYTES = 59

/** The entries of a scripted server, and the commands on them, with the real one's statuses and counters. */
export class ScriptedEntries {
  readonly #now: () => EpochMs
  readonly #maxItemBytes: number
  readonly #items = new Map<string, Item>()
  #lastCas = 0n
  #counters = new Map<string, number>()

  constructor(now: () => EpochMs, maxItemBytes: number) {
    this.#now = now
    this.#maxItemBytes = maxItemBytes
  }

  get size(): number {
    return this.#items.size
  }

  /** By name, as `stats` tells them. */
  get counters(): ReadonlyMap<string, number> {
    return this.#counters
  }

  flush(): void {
    this.#items.clear()
  }

  /** CAS ids and counters start again, as in a new process; the entries stay if `keep` says so. */
  restart(keep: boolean): void {
    if (!keep) this.#items.clear()
    this.#lastCas = 0n
    this.#counters = new Map()
  }

  answer(request: WireRequest): WireAnswer {
    const { command, key } = request
    if (key.length > 250 || (key.length === 0 && command !== 'flush')) return { status: STATUS.invalidArguments }
    switch (command) {
      case 'get':
      case 'getk':
        return this.#get(request, command === 'getk')
      case 'gat':
        this.#touch(request)
        return this.#get(request, false)
      case 'touch':
        return this.#touch(request)
      case 'set':
      case 'add':
      case 'replace':
        return this.#store(request, command)
      case 'delete':
        return this.#delete(request)
      case 'increment':
        return this.#increment(request)
      case 'flush':
        this.flush()
        return {}
      default:
        return { status: STATUS.unknownCommand }
    }
  }

  #get({ key }: WireRequest, withKey: boolean): WireAnswer {
    this.#count('cmd_get')
    const item = this.#live(name(key))
    this.#count(item === undefined ? 'get_misses' : 'get_hits')
    const echo = withKey ? { key } : {}
    if (item === undefined) return { status: STATUS.notFound, ...echo }
    return { cas: item.cas, extras: item.flags, value: item.value, ...echo }
  }

  #touch({ key, extras }: WireRequest): WireAnswer {
    this.#count('cmd_touch')
    const item = this.#live(name(key))
    if (item === undefined) return { status: STATUS.notFound }
    item.expiresAtSecond = this.#expiry(extras.readUInt32BE(0))
    return { cas: item.cas }
  }

  #store({ key, value, extras, cas }: WireRequest, command: 'set' | 'add' | 'replace'): WireAnswer {
    this.#count('cmd_set')
    if (key.length + value.length + ITEM_OVERHEAD_BYTES > this.#maxItemBytes) {
      // So that no outdated copy stays behind; the real one does so for `set`, whatever its CAS says.
      if (command === 'set') this.#items.delete(name(key))
      return { status: STATUS.tooLarge }
    }
    const item = this.#live(name(key))
    if (command === 'add' && item !== undefined) return { status: STATUS.exists }
    if (command === 'replace' && item === undefined) return { status: STATUS.notFound }
    const refused = this.#compare(item, cas, 'cas')
    if (refused !== undefined) return refused
    this.#lastCas += 1n
    this.#items.set(name(key), {
      value: Buffer.from(value),
      flags: Buffer.from(extras.subarray(0, 4)),
      cas: this.#lastCas,
      expiresAtSecond: this.#expiry(extras.readUInt32BE(4)),
    })
    return { cas: this.#lastCas }
  }

  #delete({ key, cas }: WireRequest): WireAnswer {
    const item = this.#live(name(key))
    this.#count(item === undefined ? 'delete_misses' : 'delete_hits')
    if (item === undefined) return { status: STATUS.notFound }
    if (cas !== 0n && cas !== item.cas) return { status: STATUS.exists }
    this.#items.delete(name(key))
    return {}
  }

  /** Numbers stand as text and wrap at 2^64; where none stands the one to begin with is put, or not found if the time says so. */
  #increment({ key, extras }: WireRequest): WireAnswer {
    const item = this.#live(name(key))
    const seconds = extras.readUInt32BE(16)
    if (item === undefined && seconds === NOT_TO_BEGIN) return { status: STATUS.notFound }
    const text = item?.value.toString('latin1').trimEnd()
    if (text !== undefined && !/^\d{1,20}$/.test(text)) return { status: STATUS.notANumber }
    const number =
      text === undefined ? extras.readBigUInt64BE(8) : BigInt.asUintN(64, BigInt(text) + extras.readBigUInt64BE(0))
    this.#lastCas += 1n
    this.#items.set(name(key), {
      value: Buffer.from(String(number)),
      flags: item?.flags ?? Buffer.alloc(4),
      cas: this.#lastCas,
      expiresAtSecond: item === undefined ? this.#expiry(seconds) : item.expiresAtSecond,
    })
    const value = Buffer.alloc(8)
    value.writeBigUInt64BE(number)
    return { cas: this.#lastCas, value }
  }

  #compare(item: Item | undefined, cas: bigint, counter: string): WireAnswer | undefined {
    if (cas === 0n) return undefined
    const status = item === undefined ? STATUS.notFound : item.cas === cas ? STATUS.ok : STATUS.exists
    this.#count(`${counter}_${status === STATUS.ok ? 'hits' : status === STATUS.notFound ? 'misses' : 'badval'}`)
    return status === STATUS.ok ? undefined : { status }
  }

  #live(key: string): Item | undefined {
    const item = this.#items.get(key)
    if (item?.expiresAtSecond === undefined || item.expiresAtSecond > this.#second()) return item
    this.#items.delete(key)
    return undefined
  }

  /** As the real one: whole ticks, 0 for ever, above thirty days a Unix time. */
  #expiry(seconds: number): number | undefined {
    if (seconds === 0) return undefined
    return seconds > LONGEST_RELATIVE_SECONDS ? seconds : this.#second() + seconds
  }

  #second(): number {
    return Math.floor(this.#now() / 1000)
  }

  #count(counter: string): void {
    this.#counters.set(counter, (this.#counters.get(counter) ?? 0) + 1)
  }
}

/** One character per byte, so that no two keys become one. */
const name = (key: Buffer): string => key.toString('latin1')
