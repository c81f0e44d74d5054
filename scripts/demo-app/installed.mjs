// Ends with 0 if node_modules holds what package-lock.json asks for. Plain JavaScript: it runs before anything is there.
import { existsSync, readFileSync } from 'node:fs'

/** Packages that some platforms lack are `optional` and prove nothing by their absence. */
const packagesOf = (file) => JSON.parse(readFileSync(file, 'utf8')).packages ?? {}

const isInstalled = () => {
  if (!existsSync('node_modules/.package-lock.json')) return false
  const wanted = packagesOf('package-lock.json')
  const there = packagesOf('node_modules/.package-lock.json')
  return Object.entries(wanted).every(
    ([path, { version, optional }]) =>
      path === '' || optional === true || (there[path]?.version === version && existsSync(path)),
  )
}

process.exitCode = isInstalled() ? 0 : 1
