import { inspect } from 'node:util'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { freePort } from '../../../scripts/servers/index.js'
import { type MemcachedOptions, memcached } from '../../../src/caches/memcached/index.js'
import type { CasToken, FrontCache } from '../../../src/contract/front-cache.js'
import { movableRuntime } from '../../../src/testing/movable-runtime.js'
import {
  type ScriptedMemcached,
  type ScriptedMemcachedOptions,
  scriptedMemcached,
} from '../../../src/testing/scripted-memcached.js'
import { ownMemcached, skipUnless } from '../../support/servers.js'
import { startWatch } from '../../support/stopwatch.js'
import { type MovedClock, movedClock } from '../support/moved-clock.js'

const bytes = (text: string): Uint8Array => Buffer.from(text)
const text = (entry: { value: Uint8Array } | undefined): string | undefined =>
  entry && Buffer.from(entry.value).toString()

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) await close()
})

interface Scene {
  readonly server: ScriptedMemcached
  readonly cache: FrontCache
  readonly clock: MovedClock
  readonly inAMinute: number
}

/** A scripted server and a cache on it, both on one clock that only the test moves: no time-out comes by itself. */
const scene = async (
  options: Partial<MemcachedOptions> = {},
  serverOptions: ScriptedMemcachedOptions = {},
): Promise<Scene> => {
  const clock = movedClock()
  const server = await scriptedMemcached({ now: clock.now, ...serverOptions })
  // Connections are counted here, and what looks behind a name makes some of its own.
  const cache = memcached({ servers: server.address, runtime: clock, checkSharedNames: false, ...options })
  closers.push(async () => {
    // `close` waits for calls in flight, and this clock brings no deadline by itself.
    await server.close()
    clock.advance(10_000)
    await cache.close()
  })
  return { server, cache, clock, inAMinute: clock.now() + 60_000 }
}

const store = async (cache: FrontCache, key: string, value: string, expiresAt: number): Promise<CasToken> => {
  const added = await cache.add(key, bytes(value), expiresAt)
  if (added.outcome !== 'stored') throw new Error(`the entry was not stored: ${added.outcome}`)
  return added.token
}

const unavailable = (more: object = {}): object => expect.objectContaining({ code: 'E_SESSION_UNAVAILABLE', ...more })

/** The sockets' turn, twenty times: what was written by now is read by now, on a busy machine too. */
const aMoment = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setTimeout(resolve, 1))
}

describe('a connection that breaks', () => {
  test.each(['fin', 'reset'] as const)('by a %s settles all that is in flight at once', async (kind) => {
    const { server, cache, inAMinute } = await scene()
    const token = await store(cache, 'k', 'v', inAMinute)
    server.faults.add({ kind: 'hang' }, { on: 'getk', times: 1 })
    const calls = [cache.get('k'), cache.get('other'), cache.cas('k', bytes('w'), token, inAMinute)]
    const settled = Promise.allSettled(calls)
    await server.arrival('replace')
    await server.disconnect(kind)
    const [read, other, change] = await settled
    for (const call of [read, other]) expect(call).toMatchObject({ status: 'rejected', reason: unavailable() })
    expect(change).toMatchObject({ status: 'rejected', reason: unavailable({ applied: 'unknown' }) })
    expect(text(await cache.get('k'))).toBe('v')
  })

  test('after some answers fails only what was not answered', async () => {
    const { server, cache, inAMinute } = await scene()
    await store(cache, 'k', 'v', inAMinute)
    server.faults.add({ kind: 'fin' }, { on: 'getk', after: 3, times: 1 })
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => cache.get('k')))
    expect(results.map(({ status }) => status)).toEqual([
      ...Array.from({ length: 3 }, () => 'fulfilled'),
      ...Array.from({ length: 2 }, () => 'rejected'),
    ])
  })

  test('while nothing is in flight costs nothing: the next call connects anew', async () => {
    const { server, cache, inAMinute } = await scene()
    await store(cache, 'k', 'v', inAMinute)
    await server.disconnect('fin')
    await aMoment()
    expect(text(await cache.get('k'))).toBe('v')
    expect(server.connections.made).toBe(2)
  })

  test.each(['fin', 'reset', 'hang'] as const)(
    'in the middle of an answer (then: %s) leaves no byte behind for the next one',
    async (then) => {
      const { server, cache, clock, inAMinute } = await scene()
      // A user's own value, made to look like the answer that somebody else is waiting for.
      const forged = Buffer.alloc(24 + 4 + 6 + 6)
      forged.writeUInt8(0x81, 0)
      forged.writeUInt8(0x0c, 1)
      forged.writeUInt16BE(6, 2)
      forged.writeUInt8(4, 4)
      forged.writeUInt32BE(16, 8)
      forged.writeUInt32BE(0x0d0a_0d0b, 12)
      forged.writeUInt8(1, 23)
      forged.write('victimFORGED', 28, 'latin1')
      await cache.set('mallory', Buffer.concat([forged, forged]), inAMinute)
      await store(cache, 'victim', 'genuine', inAMinute)
      for (const afterBytes of [1, 23, 24, 30, 35, 36, 60, 75, 76, 100]) {
        server.faults.add({ kind: 'cut', afterBytes, then }, { on: 'getk', times: 1 })
        const before = server.received('getk')
        const reading = expect(cache.get('mallory')).rejects.toEqual(unavailable())
        await server.arrival('getk', before + 1)
        await aMoment()
        if (then === 'hang') clock.advance(500)
        await reading
        expect(text(await cache.get('victim'))).toBe('genuine')
        expect(text(await cache.get('victim'))).toBe('genuine')
      }
    },
  )
})

describe('a server that hangs', () => {
  test('has a call settled at its deadline, and its connection thrown away', async () => {
    const { server, cache, clock, inAMinute } = await scene({ operationTimeoutMs: 300 })
    await store(cache, 'k', 'v', inAMinute)
    server.faults.add({ kind: 'hang' }, { on: 'getk', times: 1 })
    const reading = expect(cache.get('k')).rejects.toEqual(
      unavailable({
        tier: `memcached ${server.address}`,
        operation: 'get',
        applied: undefined,
        message: `memcached ${server.address} could not be asked to get: it did not answer within 300 ms`,
      }),
    )
    await server.arrival('getk')
    clock.advance(300)
    await reading
    expect(text(await cache.get('k'))).toBe('v')
    expect(server.connections.made).toBe(2)
  })

  test('under continuous traffic puts no deadline off', async () => {
    const { server, cache, clock, inAMinute } = await scene()
    await store(cache, 'k', 'v', inAMinute)
    server.faults.add({ kind: 'hang' }, { on: 'getk' })
    const waitedMs: number[] = []
    for (let call = 0; call < 60; call += 1) {
      const askedAt = clock.now()
      const done = (): void => void waitedMs.push(clock.now() - askedAt)
      cache.get('k').then(done, done)
      // The socket's turn and the judgement after a deadline.
      await new Promise((resolve) => setTimeout(resolve, 2))
      clock.advance(50)
    }
    await aMoment()
    // All but those of the last half second.
    expect(waitedMs.length).toBeGreaterThanOrEqual(49)
    expect(Math.max(...waitedMs)).toBeLessThanOrEqual(550)
  })

  test('already when it is greeted is never sent a change: surely not applied', async () => {
    const { server, cache, clock, inAMinute } = await scene({ connectTimeoutMs: 1000 })
    server.faults.add({ kind: 'hang' }, { on: 'noop' })
    const changes = Array.from({ length: 10 }, (_, index) =>
      expect(cache.set(`k${index}`, bytes('v'), inAMinute)).rejects.toEqual(unavailable({ applied: 'no' })),
    )
    await server.arrival('noop')
    clock.advance(500)
    await Promise.all(changes)
    expect(server.received('set')).toBe(0)
    expect(server.connections.made).toBe(1)
    clock.advance(500)
    await expect.poll(() => server.connections.open).toBe(0)
  })

  test('does not outlast close: what is in flight meets its deadline, later calls are refused', async () => {
    const { server, cache, clock, inAMinute } = await scene()
    await store(cache, 'k', 'v', inAMinute)
    server.faults.add({ kind: 'hang' }, { on: 'getk' })
    const reading = expect(cache.get('k')).rejects.toEqual(unavailable())
    await server.arrival('getk')
    let closed = false
    const closing = cache.close().then(() => {
      closed = true
    })
    await expect(cache.get('k')).rejects.toMatchObject({ code: 'E_CLOSED' })
    await aMoment()
    expect(closed).toBe(false)
    clock.advance(500)
    await Promise.all([reading, closing])
    await expect.poll(() => server.connections.open).toBe(0)
  })

  test('is not blamed for a process that was too busy to read its answer', async () => {
    const { server, cache, clock, inAMinute } = await scene()
    await store(cache, 'k', 'v', inAMinute)
    const reading = cache.get('k')
    await server.arrival('getk')
    // The double shares our process: its answer is written just before a long computation, after which the deadline
    // has come before the answer is read.
    setTimeout(() => clock.advance(500), 0)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
    expect(text(await reading)).toBe('v')
    expect(server.connections.made).toBe(1)
  })
})

describe('a cap on what waits for a server', () => {
  test('refuses one more call at once, surely not applied, and sends nothing for it', async () => {
    const { server, cache, clock, inAMinute } = await scene({ maxInFlight: 10 })
    const token = await store(cache, 'k', 'v', inAMinute)
    server.faults.add({ kind: 'hang' }, { on: 'getk' })
    const waiting = Promise.allSettled(Array.from({ length: 10 }, () => cache.get('k')))
    await server.arrival('getk', 10)
    const because = `memcached ${server.address} could not be asked to`
    await expect(cache.get('k')).rejects.toEqual(
      unavailable({ message: `${because} get: 10 calls wait for it already`, applied: undefined }),
    )
    await expect(cache.set('k', bytes('w'), inAMinute)).rejects.toEqual(unavailable({ applied: 'no' }))
    await expect(cache.cas('k', bytes('w'), token, inAMinute)).rejects.toEqual(unavailable({ applied: 'no' }))
    expect(server.received('getk')).toBe(10)
    expect(server.received('set')).toBe(0)
    clock.advance(500)
    await waiting
    server.faults.clear()
    expect(text(await cache.get('k'))).toBe('v')
  })

  test('counts those that wait for a connection, too', async () => {
    const { server, cache, clock, inAMinute } = await scene({ maxInFlight: 10 })
    server.faults.add({ kind: 'hang' }, { on: 'noop' })
    const waiting = Promise.allSettled(Array.from({ length: 10 }, () => cache.get('k')))
    await server.arrival('noop')
    await expect(cache.set('k', bytes('w'), inAMinute)).rejects.toEqual(unavailable({ applied: 'no' }))
    clock.advance(500)
    await waiting
  })
})

/** The same answer with parts of other lengths, all of them there and its header in keeping with them. */
const withParts = (
  answer: Uint8Array,
  lengths: { readonly extrasBytes?: number; readonly keyBytes?: number; readonly valueBytes?: number },
): Buffer => {
  const whole = Buffer.from(answer)
  const [keyAt, valueAt] = [24 + whole.readUInt8(4), 24 + whole.readUInt8(4) + whole.readUInt16BE(2)]
  const { extrasBytes = keyAt - 24, keyBytes = valueAt - keyAt, valueBytes = whole.length - valueAt } = lengths
  const resized = (part: Buffer, length: number): Buffer => Buffer.concat([part, Buffer.alloc(length)], length)
  const parts = [
    resized(whole.subarray(24, keyAt), extrasBytes),
    resized(whole.subarray(keyAt, valueAt), keyBytes),
    resized(whole.subarray(valueAt), valueBytes),
  ]
  const header = Buffer.from(whole.subarray(0, 24))
  header.writeUInt16BE(keyBytes, 2)
  header.writeUInt8(extrasBytes, 4)
  header.writeUInt32BE(extrasBytes + keyBytes + valueBytes, 8)
  return Buffer.concat([header, ...parts])
}

describe('an answer that cannot be right', () => {
  const wrongs = {
    'is for another key': { kind: 'wrong-key' },
    'is for another command': {
      kind: 'tamper',
      change: (answer: Uint8Array) => Buffer.from(answer.fill(0x00, 1, 2)),
    },
    'has a number that nobody asked with': {
      kind: 'tamper',
      change: (answer: Uint8Array) => Buffer.from(answer.fill(0x77, 12, 16)),
    },
    'claims an impossible length': {
      kind: 'tamper',
      change: (answer: Uint8Array) => Buffer.from(answer.fill(0xff, 8, 12)),
    },
    'is shorter than its parts': {
      kind: 'tamper',
      change: (answer: Uint8Array) => Buffer.from(answer.fill(0x00, 8, 12)),
    },
    'is a question itself': {
      kind: 'tamper',
      change: (answer: Uint8Array) => Buffer.from(answer.fill(0x80, 0, 1)),
    },
    'has a value without flags': {
      kind: 'tamper',
      change: (answer: Uint8Array) => withParts(answer, { extrasBytes: 0 }),
    },
    'has flags of another length': {
      kind: 'tamper',
      change: (answer: Uint8Array) => withParts(answer, { extrasBytes: 8 }),
    },
    'is of another protocol': { kind: 'garbage', bytes: bytes('ERROR\r\n'.repeat(10)) },
  } as const

  test.each(Object.entries(wrongs))('because it %s is an error, and the connection goes', async (_, fault) => {
    const { server, cache, inAMinute } = await scene()
    await store(cache, 'k', 'v', inAMinute)
    server.faults.add(fault, { on: 'getk', times: 1 })
    await expect(cache.get('k')).rejects.toEqual(unavailable())
    expect(text(await cache.get('k'))).toBe('v')
    expect(server.connections.made).toBe(2)
  })

  test.each([
    ['a key', { keyBytes: 3 }],
    ['flags', { extrasBytes: 4 }],
    ['a value', { valueBytes: 1 }],
  ])('because it brings %s where a change was done is an error, and the connection goes', async (_, parts) => {
    const { server, cache, inAMinute } = await scene()
    await cache.add('k', bytes('v'), inAMinute)
    const token = (await cache.get('k'))?.token ?? expect.fail('it was stored')
    server.faults.add({ kind: 'tamper', change: (answer) => withParts(answer, parts) }, { times: 1 })
    await expect(cache.cas('k', bytes('w'), token, inAMinute)).rejects.toEqual(unavailable({ applied: 'unknown' }))
    expect(text(await cache.get('k'))).toBe('w')
    expect(server.connections.made).toBe(2)
  })

  test('because nobody asked ends the connection before it can answer anything', async () => {
    const { server, cache, inAMinute } = await scene()
    await store(cache, 'k', 'v', inAMinute)
    const unasked = Buffer.alloc(24)
    unasked.writeUInt8(0x81, 0)
    unasked.writeUInt32BE(3, 12)
    server.say(unasked)
    await aMoment()
    expect(text(await cache.get('k'))).toBe('v')
    expect(server.connections.made).toBe(2)
  })
})

describe('a change', () => {
  type Change = (cache: FrontCache, token: CasToken, inAMinute: number) => Promise<unknown>
  const changes: [string, 'set' | 'add' | 'replace' | 'delete', Change][] = [
    ['add', 'add', (cache, _, inAMinute) => cache.add('new', bytes('new'), inAMinute)],
    ['set', 'set', (cache, _, inAMinute) => cache.set('k', bytes('new'), inAMinute)],
    ['cas', 'replace', (cache, token, inAMinute) => cache.cas('k', bytes('new'), token, inAMinute)],
    ['delete', 'delete', (cache, token) => cache.delete('k', token)],
  ]

  test.each(changes)(
    '%s whose answer is lost is unknown, and is never sent again',
    async (operation, command, change) => {
      const { server, cache, clock, inAMinute } = await scene()
      const token = await store(cache, 'k', 'old', inAMinute)
      const before = server.received(command)
      server.faults.add({ kind: 'lose-answer' }, { on: command, times: 1 })
      const changing = expect(change(cache, token, inAMinute)).rejects.toEqual(
        unavailable({ operation, applied: 'unknown' }),
      )
      await server.arrival(command, before + 1)
      clock.advance(500)
      await changing
      for (let step = 0; step < 5; step += 1) {
        clock.advance(1000)
        await cache.get('k')
      }
      expect(server.received(command)).toBe(before + 1)
      expect(text(await cache.get('k'))).not.toBe(operation === 'add' ? undefined : 'old')
    },
  )

  test.each(changes)(
    '%s at a port that nobody listens on is refused at once, surely not applied',
    async (operation, _, change) => {
      const cache = memcached({ servers: `127.0.0.1:${await freePort()}` })
      closers.push(() => cache.close())
      const { server: elsewhere, cache: other, inAMinute } = await scene()
      const token = await store(other, 'k', 'old', inAMinute)
      expect(elsewhere.connections.made).toBe(1)
      const watch = startWatch()
      if (operation === 'add' || operation === 'set')
        await expect(change(cache, token, inAMinute)).rejects.toEqual(
          unavailable({ operation, applied: 'no', message: expect.stringContaining('ECONNREFUSED') }),
        )
      else expect(JSON.stringify(await change(cache, token, inAMinute))).toContain('conflict')
      expect(watch()).toBeLessThan(400)
    },
  )

  const REFUSAL = { answered: true, applied: 'no' } as const
  const FAULT = { answered: false, applied: 'unknown' } as const
  const statuses: [status: string, addAndCas: 'are refused' | 'reject', other: typeof REFUSAL | typeof FAULT][] = [
    ['0x04', 'are refused', REFUSAL],
    ['0x20', 'reject', REFUSAL],
    ['0x21', 'reject', REFUSAL],
    ['0x81', 'are refused', REFUSAL],
    ['0x82', 'are refused', REFUSAL],
    ['0x83', 'are refused', REFUSAL],
    ['0x84', 'reject', FAULT],
    ['0x85', 'are refused', REFUSAL],
    ['0x86', 'are refused', REFUSAL],
    ['0x1234', 'reject', FAULT],
  ]
  test.each(statuses)(
    'answered with %s: add and cas %s, all else rejects with %j',
    async (status, addAndCas, other) => {
      const { server, cache, inAMinute } = await scene()
      const token = await store(cache, 'k', 'v', inAMinute)
      server.faults.add({ kind: 'status', status: Number(status) }, { on: ['getk', 'set', 'add', 'replace', 'delete'] })
      const { answered } = other
      await expect(cache.get('k')).rejects.toEqual(unavailable({ operation: 'get', answered, applied: undefined }))
      for (const [operation, command, change] of changes)
        if (addAndCas === 'are refused' && (command === 'add' || command === 'replace'))
          expect(await change(cache, token, inAMinute)).toEqual({ outcome: 'refused' })
        else await expect(change(cache, token, inAMinute)).rejects.toEqual(unavailable({ operation, ...other }))
      expect(server.connections.made).toBe(1)
    },
  )

  test('that wants another password says which options to look at', async () => {
    const { server, cache } = await scene()
    await cache.get('k')
    server.faults.add({ kind: 'status', status: 0x20 }, { on: 'getk' })
    await expect(cache.get('k')).rejects.toThrow('look at `username` and `password`')
  })

  test('that is refused shows in health until a value is taken, and deletes and sizes do not count', async () => {
    const { server, cache, inAMinute } = await scene()
    const token = await store(cache, 'k', 'v', inAMinute)
    server.faults.add({ kind: 'status', status: 0x03 }, { on: 'replace', times: 1 })
    expect(await cache.cas('k', bytes('w'), token, inAMinute)).toEqual({ outcome: 'too-large' })
    expect(await cache.health()).toMatchObject({ state: 'up' })
    server.faults.add({ kind: 'status', status: 0x82 }, { on: ['add', 'replace'] })
    expect(await cache.add('other', bytes('v'), inAMinute)).toEqual({ outcome: 'refused' })
    const refusing = {
      state: 'degraded',
      reason: 'it refused the last value that it was to store: it is out of memory',
    }
    expect(await cache.health()).toMatchObject({ ...refusing, servers: [refusing] })
    expect(await cache.delete('k', token)).toBe('deleted')
    expect(await cache.health()).toMatchObject(refusing)
    server.faults.clear()
    await store(cache, 'other', 'v', inAMinute)
    expect(await cache.health()).toMatchObject({ state: 'up' })
  })
})

describe('a token', () => {
  test.each(['fin', 'reset'] as const)(
    'dies with its connection (%s): a conflict, and nothing is sent',
    async (how) => {
      const { server, cache, inAMinute } = await scene()
      const token = await store(cache, 'k', 'v', inAMinute)
      await server.disconnect(how)
      await aMoment()
      const dead = async (): Promise<void> => {
        expect(await cache.cas('k', bytes('w'), token, inAMinute)).toEqual({ outcome: 'conflict' })
        expect(await cache.delete('k', token)).toBe('conflict')
      }
      await dead()
      expect(server.connections.made).toBe(1)
      expect(text(await cache.get('k'))).toBe('v')
      await dead()
      expect(server.received('replace')).toBe(0)
      expect(server.received('delete')).toBe(0)
    },
  )

  test('from before a restart never fits an entry that happens to bear its number', async () => {
    const { server, cache, inAMinute } = await scene()
    const token = await store(cache, 'k', 'first of the old process', inAMinute)
    await server.restart()
    await aMoment()
    await store(cache, 'k', 'first of the new process', inAMinute)
    expect(await cache.cas('k', bytes('old'), token, inAMinute)).toEqual({ outcome: 'conflict' })
    expect(await cache.delete('k', token)).toBe('conflict')
    expect(text(await cache.get('k'))).toBe('first of the new process')
  })

  test("of another server's connection, or of another cache's, is a conflict", async () => {
    const { server, cache, inAMinute } = await scene()
    const { cache: elsewhere } = await scene()
    const other = memcached({ servers: server.address })
    closers.push(() => other.close())
    await store(cache, 'k', 'v', inAMinute)
    await other.get('k')
    const foreign = await store(elsewhere, 'k', 'v', inAMinute)
    expect(await cache.cas('k', bytes('w'), foreign, inAMinute)).toEqual({ outcome: 'conflict' })
    const others = await other.get('k')
    expect(others && (await cache.cas('k', bytes('w'), others.token, inAMinute))).toEqual({ outcome: 'conflict' })
    expect(text(await cache.get('k'))).toBe('v')
  })
})

describe('connecting', () => {
  test('is tried once for all who wait, and then not again for a moment that doubles with each failure', async () => {
    const { server, cache, clock } = await scene({ reconnectMinMs: 40, reconnectMaxMs: 200 })
    server.faults.add({ kind: 'fin' }, { on: 'noop' })
    const round = async (): Promise<void> => {
      for (const { status } of await Promise.allSettled(Array.from({ length: 50 }, () => cache.get('k'))))
        expect(status).toBe('rejected')
    }
    await round()
    let made = 1
    // The clock's lot is always a half, so that three quarters of the longest pause are waited.
    for (const pauseMs of [30, 60, 120, 150, 150]) {
      clock.advance(pauseMs - 1)
      await round()
      expect(server.connections.made).toBe(made)
      clock.advance(1)
      await round()
      made += 1
      expect(server.connections.made).toBe(made)
    }
    server.faults.clear()
    clock.advance(150)
    expect(await cache.get('k')).toBeUndefined()
    expect(server.connections.made).toBe(made + 1)
    // That answer was a proof: the next failure is the first in a row again.
    await server.disconnect('fin')
    await aMoment()
    server.faults.add({ kind: 'fin' }, { on: 'noop', times: 1 })
    await round()
    clock.advance(30)
    expect(await cache.get('k')).toBeUndefined()
  })

  test.each([0, 0.999])('waits a random half to whole of the pause (lot %d)', async (lot) => {
    const clock = { ...movableRuntime(), random: () => lot }
    const server = await scriptedMemcached()
    const cache = memcached({
      servers: server.address,
      runtime: clock,
      reconnectMinMs: 100_000,
      reconnectMaxMs: 100_000,
    })
    closers.push(
      () => cache.close(),
      () => server.close(),
    )
    server.faults.add({ kind: 'reset' }, { on: 'noop', times: 1 })
    await expect(cache.get('k')).rejects.toEqual(unavailable())
    const pauseMs = 50_000 * (1 + lot)
    // The movable clock runs besides being moved.
    clock.advance(pauseMs - 10_000)
    await expect(cache.get('k')).rejects.toEqual(unavailable())
    clock.advance(10_000)
    expect(await cache.get('k')).toBeUndefined()
    expect(server.connections.made).toBe(2)
  })

  test('to a server that greets and then answers nothing is a failure as well', async () => {
    const { server, cache, clock } = await scene()
    server.faults.add({ kind: 'reset' }, { on: 'getk' })
    for (let call = 0; call < 20; call += 1) await expect(cache.get('k')).rejects.toEqual(unavailable())
    expect(server.connections.made).toBe(1)
    server.faults.clear()
    clock.advance(100)
    expect(await cache.get('k')).toBeUndefined()
  })

  test('happens at the first call and not before', async () => {
    const { server, cache } = await scene()
    await aMoment()
    expect(server.connections.made).toBe(0)
    await cache.get('k')
    expect(server.connections.made).toBe(1)
  })

  test('takes its time without minding what becomes of the value meanwhile', async () => {
    const { cache, inAMinute } = await scene()
    const value = bytes('as it was')
    const storing = cache.set('k', value, inAMinute)
    value.fill(0x78)
    await storing
    expect(text(await cache.get('k'))).toBe('as it was')
  })

  test('leaves nothing open after close: neither a connection nor an attempt at one', async () => {
    const { server, cache } = await scene()
    await cache.get('k')
    expect(server.connections.open).toBe(1)
    await cache.close()
    await vi.waitFor(() => expect(server.connections.open).toBe(0))

    const { server: frozen, cache: waiting, clock } = await scene({ connectTimeoutMs: 1000 })
    frozen.faults.add({ kind: 'hang' }, { on: 'noop' })
    const reading = expect(waiting.get('k')).rejects.toEqual(unavailable())
    await frozen.arrival('noop')
    clock.advance(500)
    await reading
    expect(frozen.connections.open).toBe(1)
    await waiting.close()
    await vi.waitFor(() => expect(frozen.connections.open).toBe(0))
  })

  test('works again as soon as a refusing server accepts', async () => {
    const { server, cache, clock, inAMinute } = await scene()
    await store(cache, 'k', 'v', inAMinute)
    await server.refuse()
    await expect(cache.get('k')).rejects.toEqual(unavailable())
    await server.accept()
    clock.advance(101)
    expect(text(await cache.get('k'))).toBe('v')
  })

  test('one server that is down leaves the keys of the others alone, and none moves', async () => {
    const [one, two] = [await scriptedMemcached(), await scriptedMemcached()]
    const cache = memcached({ servers: [one.address, two.address] })
    closers.push(
      () => cache.close(),
      () => one.close(),
      () => two.close(),
    )
    const keys = Array.from({ length: 40 }, (_, index) => `key ${index}`.replace(' ', '-'))
    for (const key of keys) await store(cache, key, key, Date.now() + 60_000)
    await two.refuse()
    const down = await Promise.allSettled(keys.map((key) => cache.get(key)))
    const lost = down.filter(({ status }) => status === 'rejected').length
    expect(lost).toBeGreaterThan(5)
    expect(lost).toBeLessThan(35)
    expect(await cache.health()).toMatchObject({
      tier: 'memcached',
      state: 'degraded',
      reason: '1 of 2 servers are not up',
      servers: [
        { tier: `memcached ${one.address}`, state: 'up' },
        { tier: `memcached ${two.address}`, state: 'down', reason: 'ECONNREFUSED' },
      ],
    })
    await two.accept()
    expect(await cache.health()).toMatchObject({ state: 'up' })
    const back = await Promise.all(keys.map((key) => cache.get(key)))
    expect(back.map(text)).toEqual(keys)
  })
})

describe('signing in', () => {
  const credentials = { username: 'alice', password: 'correct horse' }

  test.each([
    [
      'a wrong password',
      { ...credentials, password: 'wrong horse' },
      { credentials },
      'it refused the username and password: look at `username` and `password`',
    ],
    [
      'no password where one is wanted',
      {},
      { credentials },
      'it wants a username and password: give it `username` and `password`',
    ],
    [
      'a password where there is no SASL',
      credentials,
      {},
      'it knows no SASL: leave out `username` and `password`, or start it with -S',
    ],
  ])('with %s is an error that says so, and shows no credentials', async (_, options, serverOptions, because) => {
    const { server, cache, inAMinute } = await scene(options, serverOptions)
    const error = await cache.set('k', bytes('v'), inAMinute).catch((thrown: unknown) => thrown)
    expect(error).toEqual(
      unavailable({ applied: 'no', message: `memcached ${server.address} could not be asked to set: ${because}` }),
    )
    expect(inspect(error, { depth: 10, showHidden: true })).not.toMatch(/horse|alice/)
    expect(server.received('set')).toBe(0)
    expect(await cache.health()).toMatchObject({
      tier: 'memcached',
      state: 'down',
      reason: because,
      servers: [{ tier: `memcached ${server.address}`, state: 'down', reason: because }],
    })
  })

  test.each([0x01, 0x08, 0x09, 0x21, 0x84])('answered with status %i is no success', async (status) => {
    const { server, cache, inAMinute } = await scene(credentials, { credentials })
    // The server lets it in: nothing but this answer says that something is wrong.
    const change = (answer: Uint8Array): Uint8Array => Buffer.from(answer.fill(status, 7, 8))
    server.faults.add({ kind: 'tamper', change }, { on: 'sasl-authenticate' })
    await expect(cache.set('k', bytes('v'), inAMinute)).rejects.toEqual(unavailable({ applied: 'no' }))
    expect(server.received('set')).toBe(0)
  })

  test('is not attempted with what stands in the environment', async () => {
    vi.stubEnv('MEMCACHE_USERNAME', 'somebody')
    vi.stubEnv('MEMCACHE_PASSWORD', 'else')
    vi.stubEnv('MEMCACHIER_USERNAME', 'somebody')
    vi.stubEnv('MEMCACHIER_PASSWORD', 'else')
    try {
      const { server, cache } = await scene()
      expect(await cache.get('k')).toBeUndefined()
      expect(server.received('sasl-mechanisms')).toBe(0)
    } finally {
      vi.unstubAllEnvs()
    }
  })
})

describe('memjs', () => {
  test('is silent by default, whatever fails', async () => {
    const written: unknown[] = []
    const spies = [
      vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => written.push(chunk) > 0),
      vi.spyOn(process.stderr, 'write').mockImplementation((chunk) => written.push(chunk) > 0),
      ...(['log', 'warn', 'error', 'info', 'debug'] as const).map((name) =>
        vi.spyOn(console, name).mockImplementation((...parts) => void written.push(parts)),
      ),
    ]
    try {
      const { server, cache, clock, inAMinute } = await scene()
      await cache.set('k', bytes('v'), inAMinute)
      server.faults.add({ kind: 'hang' }, { on: 'getk', times: 1 })
      const reading = cache.get('k').catch(() => undefined)
      await server.arrival('getk')
      clock.advance(500)
      await reading
      server.faults.add({ kind: 'status', status: 0x84 }, { on: 'getk', times: 1 })
      await cache.get('k').catch(() => undefined)
      await server.refuse()
      await cache.get('k').catch(() => undefined)
    } finally {
      for (const spy of spies) spy.mockRestore()
    }
    expect(written).toEqual([])
  })

  test('tells a log what it has to say, without credentials, and survives a log that throws', async () => {
    const lines: string[] = []
    const { server, cache } = await scene(
      {
        username: 'alice',
        password: 'correct horse',
        log: (line) => {
          lines.push(line)
          throw new Error('the log is full')
        },
      },
      { credentials: { username: 'alice', password: 'correct horse' } },
    )
    await cache.get('k')
    server.faults.add({ kind: 'fin' }, { on: 'getk' })
    await expect(cache.get('k')).rejects.toEqual(unavailable())
    expect(lines.join('\n')).toContain(String(server.port))
    expect(lines.join('\n')).not.toMatch(/horse|alice/)
  })
})

test('a key that no Memcached takes is refused before anything is sent', async () => {
  const { server, cache, inAMinute } = await scene()
  for (const key of ['', 'k'.repeat(251), 'ü'.repeat(126), 'a b', 'a\r\nflush_all\r\n', 'a\0', '\ud800']) {
    await expect(cache.get(key)).rejects.toBeInstanceOf(TypeError)
    await expect(cache.set(key, bytes('v'), inAMinute)).rejects.toBeInstanceOf(TypeError)
    await expect(cache.delete(key, {})).rejects.toBeInstanceOf(TypeError)
  }
  expect(server.connections.made).toBe(0)
  await cache.set('k'.repeat(250), bytes('longest'), inAMinute)
  expect(text(await cache.get('k'.repeat(250)))).toBe('longest')
})

skipUnless('a Memcached without compare-and-set', await ownMemcached(), (start) => {
  test('is refused: there a compare-and-set would store unconditionally', async () => {
    const server = await start({ extraArgs: ['-C'] })
    const cache = memcached({ servers: server.address })
    try {
      const because = { message: expect.stringContaining('it runs without compare-and-set (option -C)') }
      await expect(cache.add('k', bytes('v'), Date.now() + 60_000)).rejects.toEqual(
        unavailable({ ...because, applied: 'unknown' }),
      )
      await expect(cache.get('k')).rejects.toEqual(unavailable(because))
    } finally {
      await cache.close()
      await server.stop()
    }
  })
})

skipUnless('a real Memcached that fails', await ownMemcached(), (start) => {
  test('when frozen has calls fail within their deadline, when killed at once, and works after both', async () => {
    const server = await start()
    const cache = memcached({ servers: server.address, operationTimeoutMs: 150 })
    try {
      const token = await store(cache, 'k', 'v', Date.now() + 60_000)
      server.pause()
      // The signal takes a moment to reach all of its threads.
      await new Promise((resolve) => setTimeout(resolve, 100))
      const watch = startWatch()
      const calls = await Promise.allSettled([
        cache.get('k'),
        cache.set('k', bytes('w'), Date.now() + 60_000),
        cache.get('k'),
      ])
      expect(watch()).toBeLessThan(1000)
      for (const call of calls) expect(call).toMatchObject({ status: 'rejected', reason: unavailable() })
      server.resume()
      await vi.waitFor(async () => expect(text(await cache.get('k'))).toMatch(/[vw]/), 5000)
      expect(await cache.cas('k', bytes('x'), token, Date.now() + 60_000)).toEqual({ outcome: 'conflict' })

      await server.kill9()
      await expect(cache.get('k')).rejects.toEqual(unavailable())
      await server.restart()
      await vi.waitFor(async () => expect(await cache.get('k')).toBeUndefined(), 5000)
    } finally {
      await cache.close()
      await server.stop()
    }
  })
})
