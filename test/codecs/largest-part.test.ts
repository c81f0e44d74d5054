import { describe, expect, test } from 'vitest'
import { largestPart } from '../../src/codecs/largest-part.js'

describe('the largest part of data', () => {
  test('is the innermost one that holds at least half of what is around it', () => {
    const data = { small: [1, 2], cart: { items: [1, 2, 3, 4, 5, 6], note: 'x' } }
    expect(largestPart(data, 'values')).toEqual({
      size: 13,
      path: 'data.cart.items',
      place: 'property 1, property 0',
    })
    expect(largestPart({ even: [1, 2, 3], odd: [1, 2, 3] }, 'values')).toMatchObject({ path: 'data' })
  })

  test('is a text or bytes where it goes by bytes', () => {
    const data = { map: new Map([['k', { text: 'x'.repeat(120) }]]), bytes: new Uint8Array(100) }
    expect(largestPart(data, 'bytes')).toMatchObject({ path: 'data.map.get("k").text' })
    expect(largestPart({ ...data, bytes: new Uint8Array(1_000) }, 'bytes')).toMatchObject({ path: 'data.bytes' })
  })

  test('is found without a getter being run, and where a proxy throws', () => {
    const data = Object.defineProperty({ list: [1, 2, 3] }, 'trap', {
      enumerable: true,
      get: () => {
        throw new Error('it was run')
      },
    })
    expect(largestPart(data, 'values').path).toBe('data.list')
    const proxy = new Proxy(
      {},
      {
        ownKeys: () => {
          throw new Error('no')
        },
      },
    )
    expect(largestPart({ proxy }, 'values').path).toBe('data')
  })

  test('is told less deeply where there is too much to look at, and never without end', () => {
    let shared: unknown = []
    for (let level = 0; level < 40; level += 1) shared = [shared, shared]
    expect(largestPart({ shared }, 'values').size).toBeGreaterThan(10_000)
    const circle: unknown[] = []
    circle.push(circle, circle)
    expect(largestPart(circle, 'values').path).toBe('data')
    const huge = { list: new Array(4_000_000_000) }
    expect(largestPart(huge, 'values')).toMatchObject({ size: 4_000_000_002, path: 'data.list' })
  })
})
