import { expect } from 'vitest'
import type { BehaviourName, Framework } from './framework.js'
import { type Ground, type Process, type ProcessOptions, Visitor } from './ground.js'

type Behaviour = (ground: Ground, framework: Framework) => Promise<void>

const MINUTE_MS = 60_000
/** A session that is extended at once when it is used. */
const EAGER: ProcessOptions = {
  maxAgeMs: MINUTE_MS,
  rolling: true,
  store: { idleTtlMs: MINUTE_MS, touchIntervalMs: 0, touchBackendMs: 1_000 },
}

/** Two processes, and a visitor who has logged in at the first. */
const loggedIn = async (
  ground: Ground,
  options?: ProcessOptions,
): Promise<{ readonly one: Process; readonly other: Process; readonly visitor: Visitor }> => {
  const [one, other] = [await ground.process(options), await ground.process(options)]
  const visitor = new Visitor()
  await visitor.ok(one, 'login', { user: 'ada' })
  return { one, other, visitor }
}

const isNobody = async (visitor: Visitor, process: Process): Promise<void> => {
  expect(await visitor.user(process)).toBeUndefined()
}

/** What is right for a cookie that opens nothing: an answer, to nobody. */
const opensNothing = async (ground: Ground, changes: readonly ((value: string) => string)[]): Promise<void> => {
  const { one, visitor } = await loggedIn(ground)
  expect(await visitor.cookies()).not.toEqual([])
  for (const change of changes) await isNobody(await visitor.withCookies(change), one)
  expect(await visitor.user(one)).toBe('ada')
}

const replacedAt = (value: string, at: number): string => {
  const letter = value.charAt(at)
  return `${value.slice(0, at)}${letter === 'A' ? 'B' : 'A'}${value.slice(at + 1)}`
}

export const BEHAVE: Readonly<Record<BehaviourName, Behaviour>> = {
  login: async (ground) => {
    const { one, other, visitor } = await loggedIn(ground)
    expect(await visitor.user(other)).toBe('ada')
    expect(await visitor.user(one)).toBe('ada')
    await isNobody(new Visitor(), one)
    await visitor.ok(other, 'logout')
    await isNobody(visitor, one)
  },

  modify: async (ground) => {
    const { one, other, visitor } = await loggedIn(ground)
    const processes = [one, other]
    for (let turn = 0; turn < 12; turn += 1) {
      const [here, there] = turn % 2 === 0 ? processes : processes.toReversed()
      if (here === undefined || there === undefined) throw new Error('there are two processes')
      await visitor.ok(here, 'change', { key: 'turn', value: { number: turn } })
      expect((await visitor.ok(there, 'read')).body).toMatchObject({ user: 'ada', turn: { number: turn } })
    }
    await visitor.ok(one, 'forget', { key: 'turn' })
    expect((await visitor.ok(other, 'read')).body).not.toHaveProperty('turn')
  },

  'parallel-changes': async (ground) => {
    const { one, other, visitor } = await loggedIn(ground)
    const [first, second] = [one.hold(), other.hold()]
    const slow = [
      visitor.ok(one, 'slow', { key: 'cart', value: ['tea'] }),
      visitor.ok(other, 'slow', { key: 'theme', value: 'dark' }),
    ]
    await Promise.all([first.reached, second.reached])
    first.open()
    await slow[0]
    second.open()
    await slow[1]
    for (const process of [one, other])
      expect((await visitor.ok(process, 'read')).body).toMatchObject({ user: 'ada', cart: ['tea'], theme: 'dark' })
  },

  'logout-races-slow-request': async (ground) => {
    const { one, other, visitor } = await loggedIn(ground)
    const before = await visitor.copy()
    const held = one.hold()
    const slow = (await visitor.copy()).post(one, 'slow', { key: 'cart', value: ['tea'] })
    await held.reached
    await visitor.ok(other, 'logout')
    held.open()
    // How that request ends is between it and its framework.
    await slow
    for (const process of [one, other]) {
      await isNobody(before, process)
      await isNobody(visitor, process)
    }
  },

  expiry: async (ground) => {
    const { one, other, visitor } = await loggedIn(ground, EAGER)
    ground.clock.advance(MINUTE_MS - 5_000)
    expect(await (await visitor.copy()).user(one)).toBe('ada')
    ground.clock.advance(MINUTE_MS + 5_000)
    await isNobody(visitor, one)
    await isNobody(visitor, other)
  },

  'rolling-expiry': async (ground) => {
    const { one, other, visitor } = await loggedIn(ground, EAGER)
    for (let use = 0; use < 6; use += 1) {
      ground.clock.advance(MINUTE_MS / 2)
      expect(await visitor.user(use % 2 === 0 ? one : other)).toBe('ada')
    }
  },

  regeneration: async (ground) => {
    const process = await ground.process()
    const visitor = new Visitor()
    await visitor.ok(process, 'change', { key: 'cart', value: ['tea'] })
    // Somebody has planted the id, or overheard it.
    const other = await visitor.copy()
    expect(await other.cookies()).not.toEqual([])
    await visitor.ok(process, 'login', { user: 'ada' })
    expect(await visitor.user(process)).toBe('ada')
    await isNobody(other, process)
  },

  'wrong-cookie': async (ground) =>
    await opensNothing(ground, [
      () => '',
      () => 'x',
      () => 'a'.repeat(2_000),
      () => '%E0%A4%A',
      () => 's%3A.',
      () => '{"user":"ada"}',
      () => '__proto__',
    ]),

  'forged-cookie': async (ground) =>
    await opensNothing(ground, [
      (value) => replacedAt(value, 12),
      (value) => replacedAt(value, value.length - 8),
      (value) => value.slice(0, -4),
      (value) => value.split(/\.(?=[^.]*$)/)[0]?.slice(0, -1) ?? '',
    ]),

  'dead-cache': async (ground) => {
    const { one, other, visitor } = await loggedIn(ground)
    ground.cache.unreachable = true
    expect(await visitor.user(other)).toBe('ada')
    await visitor.ok(one, 'change', { key: 'cart', value: ['tea'] })
    expect((await visitor.ok(other, 'read')).body).toMatchObject({ user: 'ada', cart: ['tea'] })
    ground.cache.unreachable = false
    ground.clock.advance(MINUTE_MS)
    expect((await visitor.ok(one, 'read')).body).toMatchObject({ user: 'ada', cart: ['tea'] })
  },

  'dead-backend': async (ground) => {
    const { one, other, visitor } = await loggedIn(ground)
    await visitor.ok(one, 'change', { key: 'cart', value: ['tea'] })
    ground.backend.unreachable = true
    expect((await visitor.ok(other, 'read')).body).toMatchObject({ user: 'ada', cart: ['tea'] })
    // With the cache gone as well, nobody can know who he is; whoever is told that he is nobody loses his cookie.
    ground.cache.unreachable = true
    const answer = await visitor.post(other, 'read')
    expect(answer.status).toBeGreaterThanOrEqual(500)
    ground.cache.unreachable = false
    ground.backend.unreachable = false
    ground.clock.advance(MINUTE_MS)
    expect(await visitor.user(one)).toBe('ada')
  },

  unicode: async (ground) => {
    const { one, other, visitor } = await loggedIn(ground)
    const value = { 'ключ 🔑': ['žluťoučký kůň', '日本語', 'שלום', '👩‍👩‍👧‍👦', 'nul \u0000 and quote " and \\'] }
    await visitor.ok(one, 'change', { key: 'text', value })
    expect((await visitor.ok(other, 'read')).body['text']).toEqual(value)
  },

  binary: async (ground) => {
    const { one, other, visitor } = await loggedIn(ground)
    const hex = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)).toString('hex')
    await visitor.ok(one, 'keep-bytes', { key: 'bytes', hex })
    expect((await visitor.ok(other, 'read-bytes', { key: 'bytes' })).body).toEqual({ hex })
  },

  'large-session': async (ground) => {
    const { one, other, visitor } = await loggedIn(ground)
    const value = 'x'.repeat(64 * 1_024)
    await visitor.ok(one, 'change', { key: 'large', value })
    expect((await visitor.ok(other, 'read')).body).toEqual({ user: 'ada', large: value })
  },

  'log-out-everywhere': async (ground) => {
    const { one, other, visitor } = await loggedIn(ground)
    const [phone, stranger] = [new Visitor(), new Visitor()]
    await phone.ok(other, 'login', { user: 'ada' })
    await stranger.ok(other, 'login', { user: 'grace' })
    expect(await one.sessions.destroyByUser('ada')).toMatchObject({ destroyed: 2 })
    for (const device of [visitor, phone]) await isNobody(device, other)
    expect(await stranger.user(one)).toBe('grace')
  },

  cost: async (ground, { costs }) => {
    const { one, visitor } = await loggedIn(ground)
    await visitor.ok(one, 'change', { key: 'turn', value: 0 })
    await visitor.ok(one, 'read')
    expect({
      reading: await ground.costOf(async () => await visitor.ok(one, 'read')),
      changing: await ground.costOf(async () => await visitor.ok(one, 'change', { key: 'turn', value: 1 })),
    }).toEqual(costs)
  },
}
