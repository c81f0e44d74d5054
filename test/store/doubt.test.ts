import { expect, test } from 'vitest'
import { tierUnavailable } from '../../src/errors.js'
import { type Data, expectCode, held, loaded, settled, world } from './world.js'

const once = (call: string, work: (proceed: () => Promise<unknown>) => Promise<unknown>) => {
  let isDone = false
  return async (made: string, proceed: () => Promise<unknown>): Promise<unknown> => {
    if (made !== call || isDone) return await proceed()
    isDone = true
    return await work(proceed)
  }
}

test('an update whose flush is in, while a dead lineage stands in the cache, is not applied twice', async () => {
  const { loseCache, processWithTiers, process } = world()
  const [mine, other, third] = [
    processWithTiers({ maxStaleCount: 1 }),
    processWithTiers({ maxStaleCount: 1 }),
    process({ maxStaleCount: 1 }),
  ]
  const { id } = await other.store.create({ count: 0 } as Data)
  await loaded(other.store, id)
  let release = (): void => undefined
  let saving: Promise<unknown> = Promise.resolve()

  // Another fills the cache from the row as it stood before my flush…
  mine.backend.intercept = once('update', async (proceed) => {
    loseCache()
    await loaded(third, id)
    return await proceed()
  })
  // … and writes to it just before I remove it by the token that I saw.
  mine.cache.intercept = once('delete', async (proceed) => {
    await new Promise<void>((reached) => {
      other.backend.intercept = once('update', async (flush) => {
        reached()
        await new Promise<void>((resolve) => {
          release = resolve
        })
        return await flush()
      })
      saving = loaded(other.store, id).then(async (session) => {
        session.data['other'] = true
        await other.store.save(session)
      })
    })
    return await proceed()
  })

  await mine.store.update(id, (data) => {
    data['count'] = Number(data['count']) + 1
  })
  release()
  await saving
  expect((await loaded(third, id)).data).toEqual({ count: 1, other: true })
})

test('an update whose answer was lost waits for a regeneration that has frozen the session meanwhile', async () => {
  const { processWithTiers, process } = world()
  const [mine, other] = [processWithTiers(), processWithTiers()]
  const session = await mine.store.create({ count: 0 } as Data)
  const waiting = held()
  other.backend.intercept = once('update', async (proceed) => {
    await waiting.opened
    return await proceed()
  })
  let regenerating: Promise<unknown> = Promise.resolve()
  const frozen = held()
  mine.cache.intercept = once('cas', async () => {
    regenerating = other.store.regenerate(session.id)
    await settled()
    frozen.open()
    throw tierUnavailable('memory', 'cas', { because: 'the answer was lost', applied: 'unknown' })
  })
  const updating = mine.store.update(session.id, (data) => void Object.assign(data, { count: 1 }))
  const told = expectCode(updating, 'E_SESSION_DESTROYED')
  await frozen.opened
  await settled()
  expect(mine.backend.calls).not.toContain('update')
  waiting.open()
  await regenerating
  await told
  expect(await process().load(session.id)).toBeUndefined()
})

test('a creation whose insert is in and was not answered does not say that nothing happened, where the session has ended since', async () => {
  const { loseCache, processWithTiers, process } = world()
  const [mine, other] = [processWithTiers(), process()]
  const id = 'an-id-that-others-know'
  mine.backend.intercept = once('insert', async (proceed) => {
    await proceed()
    loseCache()
    expect((await loaded(other, id)).data).toEqual({ n: 1 })
    await other.destroy(id)
    throw tierUnavailable('memory', 'insert', { because: 'no answer', applied: 'unknown' })
  })
  await expect(mine.store.create({ n: 1 }, { id })).rejects.toMatchObject({
    code: 'E_SESSION_DESTROYED',
    applied: 'unknown',
  })
})

test('a session object whose saves were rejected more often than the session remembers is saved once the backend is back', async () => {
  const { processWithTiers, process, runtime } = world()
  const mine = processWithTiers()
  const session = await mine.store.create({ count: 0 } as Data)
  let isDown = true
  mine.backend.intercept = async (_, proceed) => {
    if (isDown) throw new Error('the backend is down')
    return await proceed()
  }
  session.data['count'] = 1
  for (let tries = 0; tries < 12; tries += 1)
    await expectCode(mine.store.save(session, { durable: true }), 'E_SESSION_UNAVAILABLE')
  isDown = false
  runtime.advance(60_000)
  expect(await mine.store.save(session, { durable: true })).toMatchObject({ durability: 'backend' })
  expect((await loaded(process(), session.id)).data).toEqual({ count: 1 })
})
