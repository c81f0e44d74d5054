import { createHmac } from 'node:crypto'
import { signerFactory } from '@fastify/cookie'
import { sign } from 'cookie-signature'
import { describe, expect, test } from 'vitest'
import { UsageError } from '../../src/cli/exits.js'
import { givenId } from '../../src/cli/given-id.js'
import { generateSessionId } from '../../src/generate-session-id.js'

/** A value as AdonisJS signs it: JSON in Base64 for URLs, and a signature in the same alphabet. */
const byAdonis = (id: string): string => {
  const packed = Buffer.from(JSON.stringify({ message: id, purpose: 'adonis-session' })).toString('base64url')
  return `s:${packed}.${createHmac('sha256', 'secret').update(packed).digest('base64url')}`
}
/** A value as React Router signs it: JSON in Base64. */
const byReactRouter = (id: string): string => sign(btoa(JSON.stringify(id)), 'secret')

describe.each(['plain', generateSessionId(), 'with.a.dot and a space/+%41', 'Grüße'])(
  'the id of a signed cookie is what the cookie was signed for: %s',
  (id) => {
    test.each([
      ['express-session', `s:${sign(id, 'secret')}`],
      ['AdonisJS', byAdonis(id)],
    ])('by %s', (_framework, value) => {
      expect(givenId(encodeURIComponent(value))).toBe(id)
      expect(givenId(encodeURIComponent(value).replace('%3A', '%3a'))).toBe(id)
      expect(givenId(value)).toBe(id)
    })
  },
)

test.each(['plain', generateSessionId()])('a signature without a mark before it is told by its form: %s', (id) => {
  for (const value of [sign(id, 'secret'), signerFactory('secret').sign(id), byReactRouter(id)]) {
    expect(givenId(encodeURIComponent(value))).toBe(id)
    expect(givenId(value)).toBe(id)
  }
})

test.each([
  generateSessionId(),
  'an id of one’s own',
  'ends with Base64==',
  'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U',
  'half-a-percent%',
  '%41',
  'one.dot',
])('what is no cookie is the id itself: %s', (id) => {
  expect(givenId(id)).toBe(id)
})

test.each([
  ['a value that was cut off', encodeURIComponent(`s:${sign('plain', 'secret')}`).slice(0, -5)],
  ['a cookie with its name', `connect.sid=${encodeURIComponent(`s:${sign('plain', 'secret')}`)}`],
  ['a cookie with its attributes', 'sid=plain; Path=/; HttpOnly'],
  ['a header', 'Cookie: a=b'],
  ['several cookies', 'a=b; sid=plain'],
])('%s is refused with what to give instead, and is not repeated', (_what, text) => {
  expect(() => givenId(text)).toThrow(UsageError)
  expect(() => givenId(text)).toThrow(/^Expected an id.*handle that `nonstick list` shows$/)
  expect(() => givenId(text)).not.toThrow(/plain/)
})
