package tape

// Class is the engine's recorded name.
const Class = "tape"
