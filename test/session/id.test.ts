import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { bornMonthOf, checkedId, MAX_ID_LENGTH, monthOf, sessionIdFrom } from '../../src/session/id.js'

const at = Date.parse

describe('Our own ids', () => {
  test('an id is its month and 256 bits of chance, in 47 characters that need no escaping', () => {
    const random = Uint8Array.from({ length: 32 }, (_, index) => index * 8)
    const id = sessionIdFrom(at('2026-11-21T12:00:00Z'), random)
    expect(id).toMatch(/^2611[A-Za-z0-9_-]{43}$/)
    expect(encodeURIComponent(id)).toBe(id)
    expect(Uint8Array.from(Buffer.from(id.slice(4), 'base64url'))).toEqual(random)
  })

  test('every bit of the 32 bytes is in the id', () => {
    const zero = sessionIdFrom(0, new Uint8Array(32))
    const seen = new Set([zero])
    for (let bit = 0; bit < 256; bit += 1) {
      const random = new Uint8Array(32)
      random[bit >> 3] = 1 << (bit & 7)
      seen.add(sessionIdFrom(0, random))
    }
    expect(seen.size).toBe(257)
  })

  test('of more than 32 bytes the first 32 count, wherever they stand in their buffer; of fewer no id is made', () => {
    const bytes = Uint8Array.from({ length: 80 }, (_, index) => index)
    const first32 = Buffer.from(bytes.subarray(10, 42)).toString('base64url')
    expect(sessionIdFrom(0, bytes.subarray(10)).slice(4)).toBe(first32)
    expect(() => sessionIdFrom(0, bytes.subarray(0, 31))).toThrow(TypeError)
    expect(() => sessionIdFrom(0, new Uint8Array(0))).toThrow(TypeError)
  })

  test('ten thousand ids are all different, and each character stands in each place about as often as the others', () => {
    const total = 10_000
    const ids = Array.from({ length: total }, () => sessionIdFrom(0, randomBytes(32)))
    expect(new Set(ids).size).toBe(total)
    for (let place = 4; place < 47; place += 1) {
      const counts = new Map<string, number>()
      for (const id of ids) counts.set(id.charAt(place), (counts.get(id.charAt(place)) ?? 0) + 1)
      // The last character carries the last four bits only.
      const choices = place === 46 ? 16 : 64
      const expected = total / choices
      expect(counts.size, `place ${place}`).toBe(choices)
      // Eight standard deviations: chance fails this once in some billion runs, a glaring bias always.
      const most = 8 * Math.sqrt(expected)
      for (const count of counts.values()) expect(Math.abs(count - expected), `place ${place}`).toBeLessThan(most)
    }
  })
})

const MONTHS = [
  ['1970-01-01T00:00:00.000Z', '7001'],
  ['1999-12-31T23:59:59.999Z', '9912'],
  ['2000-01-01T00:00:00.000Z', '0001'],
  ['2024-02-29T12:00:00.000Z', '2402'],
  ['2026-10-31T23:59:59.999Z', '2610'],
  ['2026-11-01T00:00:00.000Z', '2611'],
  ['2026-12-31T23:59:59.999Z', '2612'],
  ['2027-01-01T00:00:00.000Z', '2701'],
  ['2099-12-31T23:59:59.999Z', '9912'],
] as const

describe('The month of birth', () => {
  for (const [moment, month] of MONTHS)
    test(`a session born at ${moment} carries ${month}`, () => {
      expect(monthOf(at(moment))).toBe(month)
      expect(bornMonthOf(sessionIdFrom(at(moment), randomBytes(32)))).toBe(month)
    })

  test('the month is the one in UTC, whatever the time zone of the process', () => {
    const module = fileURLToPath(new URL('../../src/session/id.ts', import.meta.url))
    const moments = MONTHS.map(([moment]) => at(moment))
    const script = `import { monthOf } from ${JSON.stringify(module)}
      console.log(new Date(0).getTimezoneOffset(), ${JSON.stringify(moments)}.map((each) => monthOf(each)).join())`
    const offsets = ['Pacific/Kiritimati', 'Pacific/Pago_Pago', 'Europe/Berlin'].map((TZ) => {
      const output = execFileSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
        env: { ...process.env, TZ },
        encoding: 'utf8',
      })
      const [offset, months] = output.trim().split(' ')
      expect(months, TZ).toBe(MONTHS.map(([, month]) => month).join())
      return offset
    })
    expect(new Set(offsets).size, 'the zones were really other ones').toBe(3)
  })

  for (const [what, id] of [
    ['a uuid', '01939c5e-7a2b-7000-8000-1234567890ab'],
    ["express-session's own", 'Zx3kq9w-2b7y5TQmR8vN1pLcD4hJ6gFs'],
    ['month 00', `2600${'a'.repeat(43)}`],
    ['month 13', `2613${'a'.repeat(43)}`],
    ['letters for a year', `ab11${'a'.repeat(43)}`],
    ['one character less', `2611${'a'.repeat(42)}`],
    ['one character more', `2611${'a'.repeat(44)}`],
    ['a line end behind it', `2611${'a'.repeat(43)}\n`],
    ['something before it', ` 2611${'a'.repeat(43)}`],
    ['a character that base64url does not have', `2611${'a'.repeat(42)}+`],
    ['digits of another script', `٢٦١١${'a'.repeat(43)}`],
    ['nothing', ''],
  ] as const)
    test(`an id of a foreign form carries no month: ${what}`, () => {
      expect(bornMonthOf(id)).toBeUndefined()
    })
})

describe('What is taken for an id', () => {
  for (const [what, id] of [
    ['one character', 'x'],
    ['1024 characters', 'x'.repeat(MAX_ID_LENGTH)],
    ['spaces and line ends', ' a\r\nset k 0 0 1\r\n '],
    ['a NUL', 'a\0b'],
    ['any script', 'сессия 会话 جلسة'],
    ['characters beyond the first plane', '🍵'.repeat(512)],
    ['a path', '../../etc/passwd'],
    ['a key', 'nonstick:JNLPcYNLIL25xm3RpntMyHtQRRTJ7TV92qKo6BFg2jo'],
    ['the name of a property', '__proto__'],
  ] as const)
    test(`${what}: it is passed on as it is`, () => {
      expect(checkedId(id)).toBe(id)
    })

  for (const [what, id, said] of [
    ['an empty string', '', 'got an empty string'],
    ['nothing', undefined, 'got nothing'],
    ['null', null, 'got null'],
    ['a number', 5, 'got a number'],
    ['an object', { id: 'secret-id' }, 'got an object'],
    ['an array, as a query string can give', ['secret-id'], 'got an array of 1'],
    ['a String object', Object('secret-id'), 'got an object'],
    ['1025 characters', `secret-id${'x'.repeat(1016)}`, 'got 1025 characters'],
    ['a megabyte', 'secret-id'.repeat(120_000), 'got 1080000 characters'],
    ['half a surrogate pair', 'secret-id\ud83c', 'got one with half a surrogate pair'],
    ['the halves the wrong way round', 'secret-id\udf75\ud83c', 'got one with half a surrogate pair'],
  ] as const)
    test(`${what}: it is refused with E_INVALID_ID, and the message does not hold it`, () => {
      const message = `Expected a session id to be a string of 1 to 1024 characters, ${said}`
      expect(() => checkedId(id)).toThrow(expect.objectContaining({ code: 'E_INVALID_ID', message }))
    })
})
