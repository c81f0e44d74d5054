// Prints which files each of the modules named on the command line loads when it is required, as if it were alone.
const loaded = {}
for (const specifier of process.argv.slice(2)) {
  for (const file of Object.keys(require.cache)) delete require.cache[file]
  require(specifier)
  loaded[specifier] = Object.keys(require.cache)
}
console.log(JSON.stringify(loaded))
