import { Socket } from 'node:net'
import memjs, { type MemjsOptions } from 'memjs'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { connect } from '../../../src/caches/memcached/connecting.js'
import { FrameReader } from '../../../src/caches/memcached/frames.js'
import { MemcachedCache } from '../../../src/caches/memcached/memcached-cache.js'
import { type MemcachedOptions, resolveOptions } from '../../../src/caches/memcached/options.js'
import { weightedRendezvous } from '../../../src/caches/memcached/placement.js'
import { parseServers } from '../../../src/caches/memcached/servers.js'
import type { FrontCache } from '../../../src/contract/front-cache.js'
import { frontCacheContract } from '../../../src/testing/front-cache-contract.js'
import {
  type ScriptedFault,
  type ScriptedMemcached,
  type ScriptedMemcachedOptions,
  scriptedMemcached,
} from '../../../src/testing/scripted-memcached.js'
import { plainMemjsCache } from '../../support/plain-memjs-cache.js'
import { movedClock } from '../support/moved-clock.js'

/**
 * Each defect of memjs 1.3.2 that our socket layer is there for, as one scenario that is run twice: over memjs as
 * it is, where it must be seen, and over ours, where it must not.
 */
interface Defect {
  readonly plain: string
  readonly ours: string
  /** Plays the scenario and tells what came of it. */
  run(over: Transport): Promise<string>
}

/** Of both, so that what hangs is soon seen to hang. */
const TIMEOUT_MS = 500

interface Transport {
  readonly kind: 'plain' | 'ours'
  /** A GET of this transport, on the wire. */
  readonly get: { readonly command: 'get' | 'getk'; readonly opcode: number; readonly withKey: boolean }
  server(options?: ScriptedMemcachedOptions): Promise<ScriptedMemcached>
  cache(servers: string, own?: OwnOptions): FrontCache
}

interface OwnOptions {
  readonly plain?: MemjsOptions
  readonly ours?: Partial<MemcachedOptions>
  /** How many requests the connection has carried already. */
  readonly requests?: number
}

const closers: (() => Promise<unknown> | undefined)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

const server: Transport['server'] = async (options) => {
  const scripted = await scriptedMemcached(options)
  closers.push(() => scripted.close())
  return scripted
}

const PLAIN: Transport = {
  kind: 'plain',
  get: { command: 'get', opcode: 0x00, withKey: false },
  server,
  cache: (servers, { plain, requests = 0 } = {}) => {
    const cache = plainMemjsCache({ servers, memjs: { timeout: TIMEOUT_MS / 1000, ...plain } })
    cache.client.seq = requests
    closers.push(() => cache.close())
    return cache
  },
}

const OURS: Transport = {
  kind: 'ours',
  get: { command: 'getk', opcode: 0x0c, withKey: true },
  server,
  cache: (servers, { ours, requests = 0 } = {}) => {
    const options = resolveOptions({
      servers,
      operationTimeoutMs: TIMEOUT_MS,
      reconnectMinMs: 1,
      checkSharedNames: false,
      ...ours,
    })
    const cache = new MemcachedCache(options, (to, more, signal) =>
      connect(to, { ...more, lastNumber: requests }, signal),
    )
    closers.push(() => cache.close())
    return cache
  },
}

const GETS = ['get', 'getk'] as const
const bytes = (text: string): Uint8Array => Buffer.from(text)
const cut = (afterBytes: number, then: 'reset' | 'hang'): ScriptedFault => ({ kind: 'cut', afterBytes, then })
const inAMinute = (): number => Date.now() + 60_000
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** Far beyond every deadline and every retry: whoever has not settled by then does not settle. */
const AT_LAST_MS = 6 * TIMEOUT_MS

const read = async (cache: FrontCache, key: string): Promise<string> => {
  const call = cache.get(key).then(
    (entry) => (entry === undefined ? 'nothing' : Buffer.from(entry.value).toString()),
    () => 'an error',
  )
  return await Promise.race([call, pause(AT_LAST_MS).then(() => 'no answer for ever')])
}

const happened = async (call: Promise<unknown>): Promise<'done' | 'an error' | 'no answer for ever'> => {
  const settled = call.then(
    () => 'done' as const,
    () => 'an error' as const,
  )
  return await Promise.race([settled, pause(AT_LAST_MS).then(() => 'no answer for ever' as const)])
}

/** A server with `k` = `v`. */
const scene = async (over: Transport, own?: OwnOptions): Promise<{ server: ScriptedMemcached; cache: FrontCache }> => {
  const server = await over.server()
  const cache = over.cache(server.address, own)
  await cache.set('k', bytes('v'), inAMinute())
  return { server, cache }
}

const DEFECTS: Record<string, Defect> = {
  'a server that closes politely with calls in flight': {
    plain: 'no answer for ever',
    ours: 'an error',
    async run(over) {
      const { server, cache } = await scene(over)
      server.faults.add({ kind: 'hang' }, { on: GETS, times: 1 })
      const call = happened(cache.get('k'))
      await server.arrival(over.get.command)
      await server.disconnect('fin')
      return await call
    },
  },

  'a server that hangs while traffic goes on': {
    plain: 'no call settles',
    ours: 'calls settle',
    async run(over) {
      const { server, cache } = await scene(over, { plain: { timeout: (2 * TIMEOUT_MS) / 1000 } })
      server.faults.add({ kind: 'hang' }, { on: GETS })
      let settled = 0
      const count = (): void => {
        settled += 1
      }
      for (let askedForMs = 0; askedForMs < AT_LAST_MS; askedForMs += TIMEOUT_MS / 5) {
        cache.get('k').then(count, count)
        await pause(TIMEOUT_MS / 5)
      }
      return settled === 0 ? 'no call settles' : 'calls settle'
    },
  },

  'half an answer, then a reset': {
    plain: 'never works again',
    ours: 'v',
    async run(over) {
      const { server, cache } = await scene(over)
      server.faults.add(cut(20, 'reset'), { on: GETS, times: 1 })
      await read(cache, 'k')
      await pause(TIMEOUT_MS)
      const later = [await read(cache, 'k'), await read(cache, 'k')]
      return later.every((answer) => answer === 'v') ? 'v' : later.includes('v') ? later.join() : 'never works again'
    },
  },

  "half an answer, then nothing, and a value made to look like another's answer": {
    plain: 'FORGED',
    ours: 'genuine',
    async run(over) {
      const server = await over.server()
      const cache = over.cache(server.address, { plain: { retry_delay: 0.01 } })
      // The victim is asked second: memjs repeats that request, its fourth; ours, asked anew, sends its third.
      const forged = answer(over, { number: over.kind === 'plain' ? 4 : 3, key: 'victim', value: 'FORGED' })
      await cache.set('mallory', Buffer.concat([Buffer.alloc(200), forged]), inAMinute())
      await cache.set('victim', bytes('genuine'), inAMinute())
      server.faults.add(cut(forged.length, 'hang'), { on: GETS, times: 1 })
      const both = async (): Promise<string> => (await Promise.all([read(cache, 'mallory'), read(cache, 'victim')]))[1]
      const first = await both()
      await pause(TIMEOUT_MS)
      return first === 'an error' ? await both() : first
    },
  },

  'a call that follows a reset at once': {
    plain: 'no answer for ever',
    ours: 'v',
    async run(over) {
      const { server, cache } = await scene(over, { plain: { retries: 1 } })
      server.faults.add({ kind: 'reset' }, { on: GETS, times: 1 })
      expect(await read(cache, 'k')).toBe('an error')
      return await read(cache, 'k')
    },
  },

  'bytes of another protocol': {
    plain: 'never works again',
    ours: 'v',
    async run(over) {
      const { server, cache } = await scene(over)
      server.faults.add({ kind: 'garbage', bytes: bytes('ERROR\r\n'.repeat(10)) }, { on: GETS, times: 1 })
      await read(cache, 'k')
      await pause(TIMEOUT_MS)
      const later = [await read(cache, 'k'), await read(cache, 'k')]
      return later.every((answer) => answer === 'v') ? 'v' : later.includes('v') ? later.join() : 'never works again'
    },
  },

  'a change that was carried out, and its answer lost': {
    plain: 'sent 2 times: exists',
    ours: 'sent 1 times: unknown',
    async run(over) {
      const { server, cache } = await scene(over)
      server.faults.add({ kind: 'reset' }, { on: 'add', times: 1 })
      const outcome = await cache.add('new', bytes('mine'), inAMinute()).then(
        (added) => added.outcome,
        ({ applied }: { applied: string }) => applied,
      )
      await pause(3 * TIMEOUT_MS)
      return `sent ${server.received('add')} times: ${outcome}`
    },
  },

  'a change that was held up and is carried out when a later one has been acknowledged': {
    plain: 'the older one stands',
    ours: 'the newer one stands',
    async run(over) {
      const { server, cache } = await scene(over, { plain: { retries: 1 } })
      // memjs knows no compare-and-set, so its users set.
      const overwrite = async (value: string): Promise<void> => {
        if (over.kind === 'plain') return await cache.set('k', bytes(value), inAMinute())
        const entry = await cache.get('k')
        const stored = entry && (await cache.cas('k', bytes(value), entry.token, inAMinute()))
        if (stored?.outcome !== 'stored') throw new Error('not stored')
      }
      server.faults.add({ kind: 'stall' }, { on: ['set', 'replace'], times: 1 })
      expect(await happened(overwrite('older'))).toBe('an error')
      await overwrite('newer')
      server.resume()
      return `the ${await read(cache, 'k')} one stands`
    },
  },

  'a server that cannot be reached for a while, with fail-over': {
    plain: 'v2 was acknowledged, v is read',
    ours: 'v was acknowledged, v is read',
    async run(over) {
      const servers = [await over.server(), await over.server()]
      const cache = over.cache(servers.map(({ address }) => address).join(), {
        plain: { retries: 1, failover: true, failoverTime: (3 * TIMEOUT_MS) / 1000 },
      })
      await cache.set('k', bytes('v'), inAMinute())
      const home = servers.find((each) => each.received('set') > 0)
      await home?.refuse()
      const second = await happened(cache.set('k', bytes('v2'), inAMinute()))
      await home?.accept()
      await pause(4 * TIMEOUT_MS)
      return `${second === 'done' ? 'v2' : 'v'} was acknowledged, ${await read(cache, 'k')} is read`
    },
  },

  'the only server, away for a moment, with fail-over': {
    plain: 'an error',
    ours: 'v',
    async run(over) {
      const { server, cache } = await scene(over, { plain: { retries: 1, failover: true } })
      await server.refuse()
      expect(await read(cache, 'k')).toBe('an error')
      await server.accept()
      await pause(TIMEOUT_MS)
      return await read(cache, 'k')
    },
  },

  'a fourth server beside three': {
    plain: 'moves most keys',
    ours: 'moves its share of the keys',
    async run(over) {
      const homes = (count: number): ((key: string) => number) => {
        const addresses = Array.from({ length: count }, (_, index) => `cache${index}:11211`)
        if (over.kind === 'ours') return weightedRendezvous(addresses.map((address) => ({ address, weight: 1 })))
        const client = memjs.Client.create(addresses.join())
        return (key) => client.getServer(key)
      }
      const [before, after] = [homes(3), homes(4)]
      const moved = Array.from({ length: 4000 }, (_, index) => `key-${index}`).filter(
        (key) => before(key) !== after(key),
      )
      return moved.length > 2000
        ? 'moves most keys'
        : moved.length < 1200
          ? 'moves its share of the keys'
          : 'in between'
    },
  },

  'two thousand million requests': {
    plain: 'an error, an error, an error',
    ours: 'v, v, v',
    async run(over) {
      const { server } = await scene(over)
      const cache = over.cache(server.address, { requests: 2 ** 31 - 1 })
      return [await read(cache, 'k'), await read(cache, 'k'), await read(cache, 'k')].join(', ')
    },
  },

  'a server that answers for another key': {
    plain: 'believes it',
    ours: 'an error',
    async run(over) {
      const { server, cache } = await scene(over)
      const change = (): Uint8Array =>
        answer(over, { number: over.kind === 'plain' ? 2 : 3, key: 'x', value: "another's" })
      server.faults.add({ kind: 'tamper', change }, { on: GETS, times: 1 })
      const got = await read(cache, 'k')
      return got === "another's" ? 'believes it' : got
    },
  },

  'a server that refuses the password': {
    plain: 'counts as signed in',
    ours: 'an error',
    async run(over) {
      const credentials = { username: 'alice', password: 'correct horse' }
      const server = await over.server({ credentials })
      const cache = over.cache(server.address, { plain: credentials, ours: credentials })
      const refused = (bytes: Uint8Array): Uint8Array => Buffer.from(bytes.fill(0x08, 7, 8))
      server.faults.add({ kind: 'tamper', change: refused }, { on: 'sasl-authenticate' })
      const set = await happened(cache.set('k', bytes('v'), inAMinute()))
      return set === 'done' ? 'counts as signed in' : set
    },
  },

  'credentials in the environment, for some other server': {
    plain: 'are offered to this one',
    ours: 'are left alone',
    async run(over) {
      vi.stubEnv('MEMCACHE_USERNAME', 'somebody')
      vi.stubEnv('MEMCACHE_PASSWORD', 'else')
      closers.push(async () => vi.unstubAllEnvs())
      const { server } = await scene(over)
      vi.unstubAllEnvs()
      return server.received('sasl-authenticate') > 0 ? 'are offered to this one' : 'are left alone'
    },
  },

  'a decoder that throws': {
    plain: 'past its caller, into the process',
    ours: 'an error',
    async run(over) {
      const decode = (): never => {
        throw new Error('no value of ours')
      }
      const { server, cache } = await scene(over)
      if (over.kind === 'ours') return await happened(cache.get('k').then(decode))
      const serializer = {
        serialize: (_: number, value: unknown, extras: unknown) => ({ value, extras }),
        deserialize: decode,
      }
      const { client } = plainMemjsCache({ servers: server.address, memjs: { serializer, timeout: 60 } })
      closers.push(async () => client.close())
      const uncaught = new Promise((resolve) => process.setUncaughtExceptionCaptureCallback(resolve))
      try {
        const call = client.get('k')
        await Promise.race([uncaught, call.catch(() => {})])
        return (await happened(call)) === 'no answer for ever' ? 'past its caller, into the process' : 'an error'
      } finally {
        process.setUncaughtExceptionCaptureCallback(null)
      }
    },
  },

  'sixteen calls in one tick': {
    plain: '16 system calls',
    ours: '1 system calls',
    async run(over) {
      const { server, cache } = await scene(over)
      let writes = 0
      // One call of either is one system call.
      for (const method of ['_write', '_writev'] as const) {
        const original = Socket.prototype[method] as (...rest: unknown[]) => void
        const spy = vi.spyOn(Socket.prototype, method).mockImplementation(function (this: Socket, ...rest: unknown[]) {
          if (this.remotePort === server.port) writes += 1
          original.apply(this, rest)
        })
        closers.push(async () => spy.mockRestore())
      }
      const read = await Promise.all(Array.from({ length: 16 }, () => cache.get('k')))
      expect(read.map((entry) => entry && Buffer.from(entry.value).toString())).toEqual(Array(16).fill('v'))
      return `${writes} system calls`
    },
  },

  'a large value that comes in small pieces': {
    plain: 'twice the size, four times the copying',
    ours: 'twice the size, twice the copying',
    async run(over) {
      const once = copiedBytes(over, 200)
      const twice = copiedBytes(over, 400)
      return `twice the size, ${['', 'once', 'twice', 'three times', 'four times'][Math.round(twice / once)]} the copying`
    },
  },

  'a server that resets each connection': {
    plain: '20 calls, 20 connections',
    ours: '20 calls, 1 connections',
    async run(over) {
      const server = await over.server()
      server.faults.add({ kind: 'reset' })
      const cache = over.cache(server.address, {
        plain: { retries: 1 },
        ours: { reconnectMinMs: 60_000, reconnectMaxMs: 60_000 },
      })
      for (let call = 0; call < 20; call += 1) {
        expect(await read(cache, 'k')).toBe('an error')
        await pause(5)
      }
      return `20 calls, ${server.connections.made} connections`
    },
  },

  'more calls to a server that hangs than can be good': {
    plain: '0 are refused',
    ours: '200 are refused',
    async run(over) {
      const { server, cache } = await scene(over, {
        plain: { timeout: AT_LAST_MS / 1000 },
        ours: { maxInFlight: 100, operationTimeoutMs: AT_LAST_MS },
      })
      server.faults.add({ kind: 'hang' }, { on: GETS })
      let refused = 0
      const refuse = (): void => {
        refused += 1
      }
      const calls = Array.from({ length: 300 }, () => cache.get('k').catch(refuse))
      await server.arrival(over.get.command, 100)
      const result = `${refused} are refused`
      await server.disconnect('reset')
      await Promise.all(calls)
      return result
    },
  },

  'a server that stops for a while': {
    plain: '2 sockets open',
    ours: '1 sockets open',
    async run(over) {
      const made = vi.spyOn(Socket.prototype, 'connect')
      closers.push(async () => made.mockRestore())
      const { server, cache } = await scene(over, { plain: { retries: 1 } })
      server.faults.add({ kind: 'stall' }, { on: GETS, times: 1 })
      expect(await read(cache, 'k')).toBe('an error')
      expect(await read(cache, 'k')).toBe('v')
      const open = made.mock.contexts.filter((socket) => !(socket as Socket).destroyed)
      return `${open.length} sockets open`
    },
  },

  'an entry that expires as soon as it is stored': {
    plain: 'v',
    ours: 'nothing',
    async run(over) {
      const clock = movedClock()
      const server = await over.server({ now: clock.now })
      const cache = over.cache(server.address, { ours: { runtime: clock } })
      if (over.kind === 'ours') await cache.set('k', bytes('v'), clock.now())
      else await memjs.Client.create(server.address).set('k', bytes('v'), { expires: 0 })
      clock.advance(3_600_000)
      return await read(cache, 'k')
    },
  },

  'a key that is a command to whoever reads it as text': {
    plain: 'done',
    ours: 'an error',
    async run(over) {
      const { cache } = await scene(over)
      return await happened(cache.set('k\r\nflush_all\r\n', bytes('v'), inAMinute()))
    },
  },

  'an IPv6 address': {
    plain: 'read as [',
    ours: 'read as ::1',
    async run({ kind }) {
      const address = '[::1]:11211'
      if (kind === 'plain') return `read as ${memjs.Client.create(address).servers[0]?.host}`
      const [server] = parseServers(address)
      return `read as ${server && 'host' in server.target ? server.target.host : 'nothing'}`
    },
  },

  'an object of options that is used twice': {
    plain: 'is written into',
    ours: 'is left as it was',
    async run(over) {
      const own = { plain: {}, ours: {} }
      const { server } = await scene(over)
      over.kind === 'plain' ? memjs.Client.create(server.address, own.plain) : over.cache(server.address, own)
      return Object.keys(own[over.kind]).length > 0 ? 'is written into' : 'is left as it was'
    },
  },
}

interface Made {
  readonly number: number
  readonly key: string
  readonly value: string
}

/** An answer to a GET as this transport expects it. */
const answer = ({ get: { opcode, withKey } }: Transport, { number, key, value }: Made): Buffer => {
  const said = withKey ? key : ''
  const bytes = Buffer.alloc(24 + 4)
  bytes.writeUInt8(0x81, 0)
  bytes.writeUInt8(opcode, 1)
  bytes.writeUInt16BE(said.length, 2)
  bytes.writeUInt8(4, 4)
  bytes.writeUInt32BE(4 + said.length + value.length, 8)
  bytes.writeUInt32BE(number, 12)
  bytes.writeUInt8(1, 23)
  return Buffer.concat([bytes, Buffer.from(said + value)])
}

/** How many bytes a parser copies to read a value of so many pieces of 1 KiB. */
const copiedBytes = (over: Transport, pieces: number): number => {
  const value = 'x'.repeat(pieces * 1024)
  const whole = answer(over, { number: 1, key: 'k', value })
  let copied = 0
  let found = ''
  const take = (bytes: Uint8Array): void => {
    found = Buffer.from(bytes).toString()
  }
  const plain = new memjs.Server('127.0.0.1', 1)
  plain.onResponse(1, (response) => take((response as { val: Uint8Array }).val))
  const reader = new FrameReader({
    admit: () => whole.length,
    strange: () => new Error('not reached'),
    take: (frame) => take(frame.value),
  })
  const { copy } = Buffer.prototype
  const { concat } = Buffer
  const spies = [
    vi.spyOn(Buffer.prototype, 'copy').mockImplementation(function (this: Buffer, ...rest) {
      const count = copy.apply(this, rest)
      copied += count
      return count
    }),
    vi.spyOn(Buffer, 'concat').mockImplementation((...rest) => {
      const joined = concat(...rest)
      copied += joined.length
      return joined
    }),
  ]
  try {
    for (let at = 0; at < whole.length; at += 1024) {
      const piece = Buffer.from(whole.subarray(at, at + 1024))
      over.kind === 'plain' ? plain.responseHandler(piece) : reader.push(piece)
    }
  } finally {
    for (const spy of spies) spy.mockRestore()
  }
  expect(found).toBe(value)
  expect(copied).toBeGreaterThanOrEqual(value.length)
  return copied
}

describe.each(Object.entries(DEFECTS))('%s', (_, { plain, ours, run }) => {
  test(`plain memjs: ${plain}`, async () => expect(await run(PLAIN)).toBe(plain))
  test(`ours: ${ours}`, async () => expect(await run(OURS)).toBe(ours))
})

describe('plain memjs in fair weather', () => {
  const clock = movedClock()
  frontCacheContract(test, {
    name: 'plain memjs',
    open: async () => {
      const server = await scriptedMemcached({ now: clock.now })
      // What is late on a busy machine, it would send again.
      const memjs = { timeout: 60, conntimeout: 60 }
      const open = (): FrontCache => plainMemjsCache({ servers: server.address, now: clock.now, memjs })
      return { cache: open(), another: async () => open(), close: () => server.close() }
    },
    expiryResolutionMs: 2000,
    now: clock.now,
    advance: clock.advance,
  })
})
