import { describe, expect, test } from 'vitest'
import { tierUnavailable } from '../../src/errors.js'
import { world } from './world.js'

describe('a save that the cache could not take', () => {
  test('is not acknowledged while someone keeps the dead entry alive', async () => {
    const { process, processWithTiers, cached } = world()
    // Its breaker stays closed, so that it looks at the cache right after the takeover.
    const ours = processWithTiers({ breakerFailures: 1_000 })
    const theirs = process()
    const { id } = await theirs.create({ cart: [] })
    const mine = await ours.store.load(id)
    const other = await theirs.load(id)
    if (mine === undefined || other === undefined) throw new Error('the session is gone')

    // The compare-and-set and the look after it find no cache; the look after the takeover does.
    ours.cache.unreachable = true
    ours.backend.intercept = async (call, proceed) => {
      const answer = await proceed()
      if (call === 'update') ours.cache.unreachable = false
      return answer
    }
    let isFirst = true
    ours.cache.intercept = async (call, proceed) => {
      if (call === 'delete' && isFirst) {
        isFirst = false
        other.data['cart'] = ['tea']
        await theirs.save(other)
      }
      return await proceed()
    }
    mine.data['name'] = 'Ada'
    expect(await ours.store.save(mine)).toMatchObject({ durability: 'backend' })
    expect(await cached(id)).toBeUndefined()
    expect((await theirs.load(id))?.data).toMatchObject({ name: 'Ada' })
  })
})

describe('a destroy', () => {
  test('sends the tombstone once more where its answer was lost', async () => {
    const { process, cache, cached } = world()
    const store = process()
    const { id } = await store.create({})
    let sets = 0
    cache.intercept = async (call, proceed) => {
      if (call !== 'set') return await proceed()
      sets += 1
      if (sets === 1) throw tierUnavailable('memory', 'set', { because: 'the test says so', applied: 'unknown' })
      return await proceed()
    }
    expect(await store.destroy(id)).toEqual({ cache: 'tombstone' })
    expect(await cached(id)).toMatchObject({ kind: 'tombstone' })
  })
})
