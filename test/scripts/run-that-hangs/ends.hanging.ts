import { describe, expect, test } from 'vitest'

describe('a group', () => {
  test('passes', () => {})
  test('fails', () => expect(1).toBe(2))
  test('is left out', (context) => context.skip())
})
