import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { installedWith, type Lock } from '../../scripts/release-checks/lock.js'
import { type Ended, run as runToEnd } from '../backends/postgres/reload-support.js'
import { type LocalRegistry, startRegistry } from '../support/local-registry.js'
import { manifest, packPackage, run } from '../support/packed-package.js'

const root = new URL('../..', import.meta.url).pathname
const SOURCE = join(root, 'src/cli/main.ts')
/** What is slow on a busy machine is not wrong. */
const HANGING_MS = 600_000

describe('the package as npm installs it', () => {
  let folder: string
  let project: string
  let registry: LocalRegistry

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'nonstick-installed-'))
    const tarball = await packPackage(folder)
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as Lock
    registry = await startRegistry(installedWith(lock, { peers: false }))
    project = join(folder, 'project')
    mkdirSync(project)
    writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'a-user', private: true, type: 'module' }))
    await run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', tarball], project, {
      npm_config_registry: registry.url,
      npm_config_cache: join(folder, 'cache'),
    })
  }, HANGING_MS)

  afterAll(async () => {
    await registry?.close()
    rmSync(folder, { recursive: true, force: true })
  })

  /** The command as a user runs it, and as it is in the sources. */
  const both = async (args: readonly string[]): Promise<readonly [Ended, Ended]> => {
    const env = { NO_COLOR: '1' }
    const installed = await runToEnd('npm', ['exec', '--offline', '--prefix', project, '--', manifest.name, ...args], {
      env,
    })
    const source = await runToEnd(process.execPath, ['--import', 'tsx', SOURCE, ...args], { env })
    return [installed, source]
  }

  test('works where it was installed without running any script', async () => {
    const program =
      "import { createSessionStore } from 'nonstick'\nconst s = createSessionStore()\nconst { id } = await s.create({ a: new Date(7) })\nconsole.log((await s.load(id)).data.a.getTime())\nawait s.close()\n"
    writeFileSync(join(project, 'program.js'), program)
    expect(await run(process.execPath, ['program.js'], project)).toBe('7\n')
    // So it was this registry that was asked, and no other.
    expect(registry.asked).toContain('GET /pg')
  })

  test.each([
    ['--help', 0],
    ['doctor --help', 0],
    ['purge --help', 0],
    ['completion bash', 0],
    ['--version', 0],
    ['doctor', 2],
    ['nonsense', 2],
  ])(
    'answers `nonstick %s` as the sources do',
    async (words, code) => {
      const [installed, source] = await both(words.split(' '))
      expect(installed).toEqual(source)
      expect(installed.code).toBe(code)
      expect(installed.stdout + installed.stderr).toMatch(/\S/)
    },
    HANGING_MS,
  )
})
