import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Ended, run as runToEnd } from '../backends/postgres/reload-support.js'
import { json, type LocalRegistry, startRegistry } from '../support/local-registry.js'
import { run } from '../support/packed-package.js'

const root = new URL('../..', import.meta.url).pathname
/** What is slow on a busy machine is not wrong. */
const HANGING_MS = 900_000

const CHECKS = [
  'changelog',
  'version',
  'registry',
  'clean tree',
  'contents',
  'types',
  'licences',
  'bill of materials',
  'npm audit',
]

describe('scripts/release in a clone', () => {
  let folder: string
  let clone: string
  let registry: LocalRegistry
  /** How the registry answers `npm audit`. */
  let audit: (response: ServerResponse) => void

  const git = (...args: readonly string[]): Promise<string> =>
    run('git', ['-c', 'user.name=A Test', '-c', 'user.email=test@example.org', ...args], clone)

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'nonstick-clone-'))
    clone = join(folder, 'clone')
    // As it stands here, committed or not.
    const files = (await run('git', ['ls-files', '--cached', '--others', '--exclude-standard', '-z'], root)).split('\0')
    for (const file of files.filter((name) => name !== '' && existsSync(join(root, name)))) {
      mkdirSync(dirname(join(clone, file)), { recursive: true })
      cpSync(join(root, file), join(clone, file))
    }
    symlinkSync(join(root, 'node_modules'), join(clone, 'node_modules'))
    await git('init', '--quiet')
    writeFileSync(join(clone, '.git/info/exclude'), 'node_modules\n')
    registry = await startRegistry([], (what, response) => {
      if (!what.startsWith('POST /-/npm/v1/security/')) return false
      audit(response)
      return true
    })
    // The changes that are pending become those of a version.
    const changelog = join(clone, 'CHANGELOG.md')
    const { version } = JSON.parse(readFileSync(join(clone, 'package.json'), 'utf8')) as { version: string }
    writeFileSync(changelog, readFileSync(changelog, 'utf8').replace(/^## Pending$/m, `## ${version}`))
    await git('add', '--all')
    await git('commit', '--quiet', '--message', 'A version')
  }, HANGING_MS)

  afterAll(async () => {
    await registry?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  const release = (...args: readonly string[]): Promise<Ended> =>
    runToEnd(join(clone, 'scripts/release'), args, {
      env: { npm_config_registry: registry.url, npm_config_cache: join(folder, 'cache') },
    })

  /** What it said of each check. */
  const statesIn = (stdout: string): Readonly<Record<string, string>> =>
    Object.fromEntries(
      [...stdout.matchAll(/^(ok|failed|not asked) +(\S+(?: \S+)*?)(?: {2,}| (?=\S))/gm)].map(
        ([, state = '', name = '']) => [CHECKS.find((check) => check.startsWith(name)) ?? name, state],
      ),
    )

  test(
    'says ok to each check of a repository that is ready, and leaves nothing behind',
    async () => {
      audit = (response) => json(response, 200, {})
      const { code, stdout, stderr } = await release('--dry-run')
      expect(statesIn(stdout), stdout + stderr).toEqual(Object.fromEntries(CHECKS.map((name) => [name, 'ok'])))
      expect(stdout).toContain(`${CHECKS.length} ok, 0 failed, 0 not asked`)
      expect(stdout).toContain('Nothing was published')
      expect(code).toBe(0)
      expect(existsSync(join(clone, '.release'))).toBe(false)
      expect(await git('status', '--porcelain')).toBe('')
    },
    HANGING_MS,
  )

  test(
    'says what failed and what nobody could tell, publishes nothing, and ends with 1',
    async () => {
      audit = (response) => json(response, 405, { message: 'Method Not Allowed' })
      const { version } = JSON.parse(readFileSync(join(clone, 'package.json'), 'utf8')) as { version: string }
      await git('tag', `v${version}`)
      writeFileSync(join(clone, 'docs/notes.txt'), 'not committed')
      const { code, stdout } = await release()
      await git('tag', '--delete', `v${version}`)
      rmSync(join(clone, 'docs/notes.txt'))
      expect(statesIn(stdout)).toEqual({
        ...Object.fromEntries(CHECKS.map((name) => [name, 'ok'])),
        version: 'failed',
        'clean tree': 'failed',
        'npm audit': 'not asked',
      })
      expect(stdout).toContain('docs/notes.txt')
      expect(code).toBe(1)
      expect(existsSync(join(clone, '.release'))).toBe(false)
    },
    HANGING_MS,
  )

  test(
    'without --dry-run leaves the package, its bill of materials and their hashes, and publishes nothing',
    async () => {
      audit = (response) => json(response, 200, {})
      const before = registry.asked.length
      const { code, stdout } = await release()
      expect(code, stdout).toBe(0)
      const left = join(clone, '.release')
      await run('sh', ['-c', '(sha256sum -c SHA256SUMS || shasum -a 256 -c SHA256SUMS) 2>/dev/null'], left)
      const sums = readFileSync(join(left, 'SHA256SUMS'), 'utf8')
      expect(sums).toMatch(/^[\da-f]{64} {2}nonstick-\S+\.tgz\n[\da-f]{64} {2}nonstick-\S+\.cdx\.json\n$/)
      const bill = readFileSync(join(left, sums.match(/\S+\.cdx\.json/)?.[0] ?? ''), 'utf8')
      for (const path of [root, clone, folder, tmpdir()]) expect(bill).not.toContain(path)
      expect(registry.asked.slice(before).filter((what) => what.startsWith('PUT '))).toEqual([])
      expect(await git('tag', '--list')).toBe('')
      expect(await git('status', '--porcelain')).toBe('')
    },
    HANGING_MS,
  )

  test('refuses a word that it does not know, with 2, and looks at nothing', async () => {
    const { code, stdout, stderr } = await release('--publish')
    expect(code).toBe(2)
    expect(stderr).toContain("'--publish'")
    expect(stderr).toContain('Usage: scripts/release')
    expect(stdout).toBe('')
  })
})
