// Runs `nonstick setup`: what is built where that is up to date, and in a checkout where it is not, the sources.
import { existsSync, readdirSync, statSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const built = at('dist/cli/main.js')
const source = at('src/cli/main.ts')

const isBuilt = () => {
  if (!existsSync(built)) return false
  if (!existsSync(source)) return true
  const builtAt = statSync(built).mtimeMs
  return !readdirSync(at('src'), { recursive: true, withFileTypes: true }).some(
    (entry) => entry.isFile() && statSync(`${entry.parentPath}/${entry.name}`).mtimeMs > builtAt,
  )
}

const load = async () => {
  if (isBuilt()) return built
  // It would leave its cache behind in the temporary folder.
  process.env.TSX_DISABLE_CACHE ??= '1'
  const { register } = await import('tsx/esm/api')
  register()
  return source
}

process.argv.splice(2, 0, 'setup')
try {
  await import(pathToFileURL(await load()).href)
} catch (error) {
  if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error
  console.error(`sql/reload: the npm packages are missing here. Run "npm install" in ${at('')} first`)
  console.error('As somebody who has them: sql/reload --print | sudo -u postgres psql')
  process.exitCode = 1
}
