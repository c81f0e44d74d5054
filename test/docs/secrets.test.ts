import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { startProgram } from '../shutdown/programs.js'

const root = new URL('../..', import.meta.url).pathname
const read = (path: string): string => readFileSync(join(root, path), 'utf8')
const filesIn = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.([cm]?[jt]s|md|html|sh)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length))

/** What a reader copies, or what we run ourselves. The contract suites in `src/testing` make up data, secrets included. */
const copied = ['README.md', ...['docs', 'scripts', 'src'].flatMap(filesIn)].filter(
  (path) => !path.startsWith('src/testing/'),
)

/** A secret, a key or a password of a session that stands in the text itself, or is fallen back to. */
const LITERAL =
  /\b(?:secret|hashUserIds|keys|SESSION_SECRET|SECRET|SESSION_KEY)\b['"\]]*\s*(?::|=|\?\?|\|\|)\s*(?:\[\s*)?(?:process\.env[^,;)\n]*(?:\?\?|\|\|)\s*)?(['"`])(?!\1)[^'"`\n]+\1/

const literalsIn = (text: string): string[] => text.split('\n').filter((line) => LITERAL.test(line))

describe('no program that a reader may copy', () => {
  test('has a secret in its text, or falls back to one', () => {
    expect(copied.length).toBeGreaterThan(100)
    const found = copied.flatMap((path) => literalsIn(read(path)).map((line) => `${path}: ${line.trim()}`))
    expect(found).toEqual([])
  })

  test.each([
    "app.use(session({ store, secret: 'change me', resave: false }))",
    "secret: process.env['SECRET'] ?? 'change me',",
    "secret: process.env.SECRET || 'change me',",
    "const secret = process.env['SESSION_SECRET'] ?? `change me`",
    "const secret = 'change me'",
    "secret: ['change me'],",
    "sealing: { keys: ['AAAA'] },",
    "sealing: { keys, hashUserIds: 'AAAA' },",
  ])('is overlooked: %s', (line) => {
    expect(literalsIn(line)).toEqual([line])
  })

  test.each([
    "const secret = process.env['SESSION_SECRET']",
    'sealing: { keys: [process.env.SESSION_KEY] },',
    "if (!secret) throw new Error('Set SESSION_SECRET to a long random text: openssl rand -base64 32')",
    'session({ store, secret, resave: false })',
    "conflict: { keys: { cart: 'append', visits: 'sum' } },",
  ])('is wrongly accused: %s', (line) => {
    expect(literalsIn(line)).toEqual([])
  })
})

const examples = filesIn('docs/examples').filter((path) => read(path).includes('SESSION_SECRET'))

/** Where a program makes what signs or encrypts its cookies. */
const SIGNS =
  /\b(?:session|sessionMiddleware|useSession<\w+>|createCookie|betterAuth|register)\((?:'\w+', |fastifySession, )?\{/

describe('without SESSION_SECRET', () => {
  test('there are programs that need one', () => {
    expect(examples.length).toBeGreaterThanOrEqual(6)
    expect(filesIn('docs/examples').filter((path) => SIGNS.test(read(path)))).toEqual(examples)
  })

  test.each(examples)(
    '%s does not start, and says what to do',
    async (path) => {
      for (const SESSION_SECRET of ['', undefined]) {
        const program = startProgram(path, { SESSION_SECRET })
        expect(await program.ended).toBe(1)
        expect(program.output()).toMatch(/Set SESSION_SECRET to .*openssl rand -base64 32/)
      }
    },
    300_000,
  )
})
