import { expect, test } from 'vitest'
import { settled, world } from './world.js'

test('the event of a refusal says that the server answered, and that of a silence does not', async () => {
  const { process, cache } = world()
  const store = process({ onCacheUnreachable: 'acknowledge' })
  const told: { operation: string; answered: boolean; applied: unknown }[] = []
  store.on('fault', ({ operation, error: { answered, applied } }) => told.push({ operation, answered, applied }))
  const [refused, unreachable] = [await store.create({}), await store.create({})]
  await settled()
  cache.refusing = true
  await store.destroy(refused.id)
  expect(told[0]).toEqual({ operation: 'set', answered: true, applied: 'no' })
  cache.refusing = false
  cache.unreachable = true
  told.length = 0
  await store.destroy(unreachable.id)
  expect(told[0]).toEqual({ operation: 'get', answered: false, applied: undefined })
})
