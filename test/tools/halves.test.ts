import { expect, test } from 'vitest'
import { inHalves } from '../../src/tools/halves.js'

/** Doubles numbers, all at once unless one of them is bad. */
const doubling = (...bad: readonly number[]) => {
  const parts: (readonly number[])[] = []
  const work = async (part: readonly number[]): Promise<readonly string[] | undefined> => {
    parts.push(part)
    if (!part.some((each) => bad.includes(each))) return part.map((each) => String(2 * each))
    return part.length === 1 ? ['bad'] : undefined
  }
  return { parts, work }
}

test('work that goes well is done once, with all items', async () => {
  const { parts, work } = doubling()
  expect(await inHalves([1, 2, 3], work)).toEqual(['2', '4', '6'])
  expect(parts).toEqual([[1, 2, 3]])
})

test('items that are at fault stand alone in the end, and the results are in the order of the items', async () => {
  const { parts, work } = doubling(2, 5)
  expect(await inHalves([1, 2, 3, 4, 5, 6, 7], work)).toEqual(['2', 'bad', '6', '8', 'bad', '12', '14'])
  expect(parts.filter((part) => part.includes(2))).toEqual([[1, 2, 3, 4, 5, 6, 7], [1, 2, 3, 4], [1, 2], [2]])
})

test('what the work throws is thrown, and nothing is done after it', async () => {
  const done: number[] = []
  const work = async (part: readonly number[]): Promise<readonly number[] | undefined> => {
    if (part.length > 1) return undefined
    done.push(...part)
    if (part.includes(2)) throw new Error('no')
    return part
  }
  await expect(inHalves([1, 2, 3, 4], work)).rejects.toThrow('no')
  expect(done).toEqual([1, 2])
})
