import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { SaveOptions } from '../../src/contract/session-store.js'
import type { StoreOptions } from '../../src/store/options.js'
import { rounds, seed } from '../support/seed.js'
import { type Data, expectCode, loaded, settled, world } from './world.js'

const RULES = {
  conflict: { keys: { cart: 'append', visits: 'sum', seen: 'union' } },
} as const satisfies StoreOptions<Data>

const cartOf = (data: Data): string[] => data['cart'] as string[]
const visit = (data: Data, item: string): void => {
  cartOf(data).push(item)
  data['visits'] = Number(data['visits']) + 1
  ;(data['seen'] as Set<string>).add(item)
}
const fresh = (): Data => ({ cart: ['tea'], visits: 1, seen: new Set(['tea']), note: '' })
const having = (...items: string[]): Data => ({ cart: items, visits: items.length, seen: new Set(items), note: '' })

/** What one of three requests does, or another process; and how many turns pass before the next. */
interface Step {
  readonly does: 'save' | 'give up' | 'note'
  readonly request: number
  readonly turns: number
}

/** Two processes, with a session that both of them know. */
const shared = async (options: StoreOptions<Data> = RULES) => {
  const cluster = world()
  const [store, other] = [cluster.process(options), cluster.process(options)]
  const { id } = await store.create(fresh())
  await settled()
  return { cluster, store, other, id }
}

/** The same, after one process has stored a cake, and a request of the other has saved three times without waiting. */
const overlapping = async (options?: StoreOptions<Data>, saveOptions?: SaveOptions) => {
  const { store, other, id } = await shared(options)
  const [mine, theirs] = [await loaded(store, id), await loaded(other, id)]
  visit(theirs.data, 'cake')
  await other.save(theirs)
  const saves = ['milk', 'jam', 'bread'].map((item) => {
    visit(mine.data, item)
    return store.save(mine, saveOptions)
  })
  await Promise.all(saves)
  return { store, other, id, mine }
}

describe('changes of one key, by rules', () => {
  test('are both stored, whichever process makes them', async () => {
    const { store, other, id } = await shared()
    const [mine, theirs] = [await loaded(store, id), await loaded(other, id)]
    visit(theirs.data, 'cake')
    await other.save(theirs)
    visit(mine.data, 'milk')
    expect(await store.save(mine)).toMatchObject({ merged: true })
    expect((await loaded(other, id)).data).toEqual(having('tea', 'cake', 'milk'))
    expect(mine.data).toEqual(having('tea', 'cake', 'milk'))
  })

  test('are two also where both requests did the same', async () => {
    const { store, other, id } = await shared()
    const [mine, theirs] = [await loaded(store, id), await loaded(other, id)]
    for (const { data } of [mine, theirs]) visit(data, 'milk')
    await other.save(theirs)
    await store.save(mine)
    const { data } = await loaded(other, id)
    expect([data['cart'], data['visits']]).toEqual([['tea', 'milk', 'milk'], 3])
  })

  test('are stored once where a request saves again before its first save has ended', async () => {
    const { store, other, id, mine } = await overlapping()
    const all = having('tea', 'cake', 'milk', 'jam', 'bread')
    expect(mine.data).toEqual(all)
    await store.save(mine)
    expect((await loaded(other, id)).data).toEqual(all)
  })

  test('are stored once where it does so, and `beforeSave` gives what to store in place of the data', async () => {
    const { store, other, id, mine } = await overlapping({ ...RULES, beforeSave: ({ draft: _, ...rest }) => rest })
    visit(mine.data, 'salt')
    await store.save(mine)
    expect((await loaded(other, id)).data).toEqual(having('tea', 'cake', 'milk', 'jam', 'bread', 'salt'))
  })

  test('are stored once where a request saves again before its first save has ended, and is kept free of the rest', async () => {
    const { store, other, id, mine } = await overlapping(RULES, { isolated: true })
    expect(mine.data).toEqual(having('tea', 'milk', 'jam', 'bread'))
    await store.save(mine)
    expect((await loaded(other, id)).data).toEqual(having('tea', 'cake', 'milk', 'jam', 'bread'))
  })

  test('are stored once where a request goes on and saves again, isolated or not', async () => {
    for (const isolated of [false, true]) {
      const { store, other, id } = await shared()
      const [mine, theirs] = [await loaded(store, id), await loaded(other, id)]
      visit(theirs.data, 'cake')
      await other.save(theirs)
      for (const item of ['milk', 'jam', 'bread']) {
        visit(mine.data, item)
        await store.save(mine, { isolated })
      }
      expect((await loaded(other, id)).data).toEqual(having('tea', 'cake', 'milk', 'jam', 'bread'))
    }
  })

  test('are stored once where two saves of one request overlap', async () => {
    const { store, other, id } = await shared()
    const mine = await loaded(store, id)
    await other.update(id, (data) => visit(data, 'cake'))
    visit(mine.data, 'milk')
    const first = store.save(mine)
    visit(mine.data, 'jam')
    await Promise.all([first, store.save(mine)])
    expect((await loaded(other, id)).data).toEqual(having('tea', 'cake', 'milk', 'jam'))
  })

  test('are stored once, and undo nothing, however the saves of some requests in two processes overlap', async () => {
    const step = fc.record({
      does: fc.constantFrom<Step['does']>('save', 'save', 'save', 'give up', 'note'),
      request: fc.nat({ max: 2 }),
      turns: fc.constantFrom(0, 0, 1, 2, 5, 20),
    })
    const steps = fc.array(step, { minLength: 4, maxLength: 24 })
    const turnsOfCache = fc.array(fc.nat({ max: 6 }), { minLength: 1, maxLength: 12 })
    const pass = async (turns: number): Promise<void> => {
      for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    }
    const isRight = async (program: readonly Step[], slow: readonly number[], isGiven: boolean): Promise<void> => {
      const options: StoreOptions<Data> = isGiven ? { ...RULES, beforeSave: ({ draft: _, ...rest }) => rest } : RULES
      const { cluster, store, other, id } = await shared(options)
      const requests = [await loaded(store, id), await loaded(store, id), await loaded(other, id)]
      let asked = 0
      cluster.cache.intercept = async (_call, proceed) => {
        asked += 1
        await pass(slow[asked % slow.length] ?? 0)
        return await proceed()
      }
      const saves: Promise<unknown>[] = []
      const items: string[] = []
      let note = ''
      // Nobody but the updates changes the note, one after another.
      let noting: Promise<unknown> = Promise.resolve()
      for (const { does, request, turns } of program) {
        const session = requests[request]
        if (does === 'note' || session === undefined) {
          const next = `${note}.`
          note = next
          noting = noting.then(() => other.update(id, (data) => Object.assign(data, { note: next })))
        } else {
          items.push(`item ${items.length}`)
          visit(session.data, items.at(-1) ?? '')
          const giving = new AbortController()
          const saving = (request === 2 ? other : store).save(session, { signal: giving.signal })
          saves.push(saving.catch(() => {}))
          if (does === 'give up') giving.abort()
        }
        await pass(turns)
      }
      await Promise.all([...saves, noting])
      for (const [place, session] of requests.entries()) await (place === 2 ? other : store).save(session)
      const { data } = await loaded(other, id)
      expect(cartOf(data).toSorted()).toEqual(['tea', ...items].toSorted())
      expect(data).toMatchObject({ visits: items.length + 1, seen: new Set(cartOf(data)), note })
    }
    await fc.assert(fc.asyncProperty(steps, turnsOfCache, fc.boolean(), isRight), { seed, numRuns: rounds(60, 2_000) })
  })

  test('are put back once where the cache has lost them, beside what others have stored since', async () => {
    const { cluster, store, other, id } = await shared()
    const mine = await loaded(store, id)
    await other.update(id, (data) => visit(data, 'cake'), { durable: true })
    visit(mine.data, 'milk')
    expect(await store.save(mine)).toMatchObject({ durability: 'cache', merged: true })
    cluster.loseCache()
    await other.update(id, (data) => visit(data, 'bread'))
    visit(mine.data, 'jam')
    await store.save(mine, { durable: true })
    const { data } = await loaded(other, id)
    expect(cartOf(data).toSorted()).toEqual(['bread', 'cake', 'jam', 'milk', 'tea'])
    expect(data['visits']).toBe(5)
  })

  test('where no rule fits, the later save’s value stands', async () => {
    const { store, other, id } = await shared()
    const [mine, theirs] = [await loaded(store, id), await loaded(other, id)]
    await other.save(Object.assign(theirs, { data: { ...theirs.data, note: 'theirs', cart: [] } }))
    await store.save(Object.assign(mine, { data: { ...mine.data, note: 'mine', cart: ['tea', 'milk'] } }))
    expect((await loaded(other, id)).data).toMatchObject({ note: 'mine', cart: ['tea', 'milk'] })
  })

  test('never cross a change of user', async () => {
    const identify = ({ user }: Data): string | undefined => user as string | undefined
    const { store, other, id } = await shared({ ...RULES, identify })
    const mine = await loaded(store, id)
    await other.update(id, (data) => Object.assign(data, { user: 'bob' }))
    visit(mine.data, 'milk')
    await expectCode(store.save(mine), 'E_SESSION_CONFLICT')
  })

  test('are taken in depth for the whole session, by `deep`', async () => {
    const { store, other, id } = await shared({ conflict: 'deep' })
    const [mine, theirs] = [await loaded(store, id), await loaded(other, id)]
    Object.assign(theirs.data, { prefs: { theme: 'dark' }, cart: ['tea', 'cake'] })
    Object.assign(mine.data, { prefs: { size: 'large' }, cart: ['tea', 'milk'] })
    await other.save(theirs)
    await store.save(mine)
    expect((await loaded(other, id)).data).toMatchObject({
      prefs: { theme: 'dark', size: 'large' },
      cart: ['tea', 'cake', 'milk'],
    })
  })
})
