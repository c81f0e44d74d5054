import { expect, test } from 'vitest'
import { type Data, loaded, world } from './world.js'

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
